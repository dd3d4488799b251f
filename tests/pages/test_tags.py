"""How times, sizes, states and other people's text are shown."""

from __future__ import annotations

import datetime as dt

import pytest

from apps.kit.clock import now
from apps.kit.html import tags


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 ms"),
        (812.4, "812 ms"),
        (1500, "1.5 s"),
        (65_000, "1 min 05 s"),
        (3_720_000, "1 h 02 min"),
        (dt.timedelta(days=3), "3 d 0 h"),
    ],
)
def test_a_duration_takes_its_two_largest_units(value: object, shown: str) -> None:
    assert tags.duration(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (512, "512 B"), (1536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB")]
)
def test_a_size_is_binary(value: object, shown: str) -> None:
    assert tags.size(value) == shown


def test_a_moment_says_how_long_ago_and_exactly_when() -> None:
    shown = tags.ago(now() - dt.timedelta(hours=3))
    assert "3 hours ago" in shown
    assert "UTC" in shown


def test_what_never_happened_says_so() -> None:
    assert "never" in tags.ago(None)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("SUCCEEDED", 'pill is-success">Succeeded'),
        ("RUNNING", 'pill is-info is-active">Running'),
        ("RETRY_WAIT", 'pill is-warning">Retry wait'),
        ("SOMETHING_NEW", 'pill">Something new'),
        ("", ""),
    ],
)
def test_a_state_is_a_pill_of_its_tone(state: str, shown: str) -> None:
    assert shown in tags.pill(state)


def test_a_state_is_escaped() -> None:
    assert "<script" not in tags.pill("<script>").lower()


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[click](javascript:alert(1))",
        '<a href="javascript:alert(1)">x</a>',
        '<p style="position:fixed">x</p>',
    ],
)
def test_markdown_lets_no_script_through(attack: str) -> None:
    html = tags.markdown(attack)
    assert "<script" not in html
    assert "<img" not in html
    assert '<a href="javascript' not in html
    assert "<p style" not in html


def test_markdown_keeps_what_a_description_needs() -> None:
    html = tags.markdown("**bold** and `code`\n\n- one\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    assert "<strong>bold</strong>" in html
    assert "<code>code</code>" in html
    assert "<li>one</li>" in html
    assert "<td>1</td>" in html


@pytest.mark.parametrize(
    ("used", "limit", "shade"), [(1, 10, ""), (8, 10, "warning"), (12, 10, "danger")]
)
def test_a_meter_warns_before_the_limit(used: int, limit: int, shade: str) -> None:
    assert tags.meter(used, limit)["shade"] == shade


def test_without_a_limit_there_is_no_meter() -> None:
    assert tags.meter(5, None) == {"share": None}


def test_an_id_is_named_by_its_kind_and_its_end() -> None:
    shown = tags.reference("ListingVersion:01a207c1-cb02-7c87-9b70-f72222782581")
    assert 'title="ListingVersion:01a207c1-cb02-7c87-9b70-f72222782581"' in shown
    assert ">Listing version <" in shown
    assert "…f72222782581<" in shown
    assert tags.reference("<b>") == '<span class="wrap">&lt;b&gt;</span>'


def test_numbers_are_read_in_groups() -> None:
    assert tags.count(60000) == "60,000"
    assert tags.count(None) == "None"


def test_a_pill_can_say_of_what() -> None:
    assert "Scan passed" in tags.pill("PASSED", of="Scan")
