"""The words of a query, and the marks in what they found."""

from __future__ import annotations

import pytest

from apps.marketplace.words import MAX_WORDS, highlight, words_of


def test_words_are_lower_case_without_signs() -> None:
    assert words_of("  Cars-ETL, 'with' (quarantine)!  ") == (
        "cars",
        "etl",
        "with",
        "quarantine",
    )


def test_a_query_has_a_limit() -> None:
    assert len(words_of("word " * 1_000)) == MAX_WORDS


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("Cars ETL", ("car",), "<mark>Cars</mark> ETL"),
        ("Cleans cars", ("cleaning",), "<mark>Cleans</mark> cars"),
        ("a <b> cars & co", ("cars",), "a &lt;b&gt; <mark>cars</mark> &amp; co"),
        ("<cars>", ("cars",), "&lt;<mark>cars</mark>&gt;"),
    ],
)
def test_marks_are_the_only_markup(text: str, words: tuple[str, ...], expected: str) -> None:
    assert highlight(text, words) == expected


def test_nothing_to_mark_is_none() -> None:
    assert highlight("Cars", ("boats",)) is None
    assert highlight("Cars", ()) is None


def test_a_long_text_is_cut_around_the_first_mark() -> None:
    text = "one " * 200 + "cars " + "two " * 200
    marked = highlight(text, ("cars",))
    assert marked is not None
    assert "<mark>cars</mark>" in marked
    assert marked.startswith("… ")
    assert marked.endswith(" …")
    assert len(marked) < 250
