"""No coding of an opened secret leaves a step."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.executions.runner.redaction import MASK, Redactor
from apps.executions.runner.secrets import OpaqueSecret, SecretBook
from apps.workflows.graph.context import NodeError
from tests.nodes.doubles import MemorySecrets

VALUE = 'p@ss/w"ord+é=1'


def _redactor(*values: str) -> Redactor:
    redactor = Redactor()
    for value in values or (VALUE,):
        redactor.add(value)
    return redactor


@pytest.mark.parametrize(
    "coded",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        json.dumps(VALUE)[1:-1],
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        base64.b64encode(f"user:{VALUE}".encode()).decode(),
        base64.b64encode(f"x{VALUE}y".encode()).decode(),
        base64.b64encode(f"xy{VALUE}".encode()).decode(),
    ],
)
def test_every_coding_is_masked(coded: str) -> None:
    masked = _redactor().text(f"before {coded} after")

    assert MASK in masked
    assert coded not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    before=st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=7),
    after=st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=7),
)
def test_base64_is_masked_at_every_offset(secret: str, before: str, after: str) -> None:
    text = base64.b64encode(f"{before}{secret}{after}".encode()).decode()

    assert MASK in _redactor(secret).text(text)


def test_values_are_masked_in_keys_and_depth() -> None:
    found = _redactor().value({"a": [{VALUE: f"x{VALUE}"}, 1, None]})

    assert found == {"a": [{MASK: f"x{MASK}"}, 1, None]}


def test_a_secret_inside_a_longer_one_leaves_nothing() -> None:
    assert _redactor("abcdef", "abcdefghij").text("abcdefghij") == MASK


def test_text_without_a_secret_is_untouched() -> None:
    assert _redactor().text("nothing to see") == "nothing to see"


def test_too_short_a_value_masks_nothing() -> None:
    assert _redactor("abc").text("abc abc") == "abc abc"


def _book(**values: str) -> SecretBook:
    return SecretBook(MemorySecrets(values), allowed=frozenset(values), redactor=Redactor())


def test_a_marker_is_opened_by_its_own_attempt_only() -> None:
    book, other = _book(KEY="the-value"), _book(KEY="the-value")
    marker = book.marker("KEY")

    assert book.reveal(marker) == "the-value"
    assert other.reveal(marker) == marker


def test_a_marker_in_an_output_becomes_a_reference_again() -> None:
    book = _book(KEY="the-value")

    assert book.hide({"used": book.marker("KEY")}) == {"used": "{{ secrets.KEY }}"}


def test_an_opaque_secret_shows_itself_in_no_format() -> None:
    secret = OpaqueSecret("KEY")

    assert f"{secret} {secret!s:>10}" == "[secret]   [secret]"


def test_a_secret_in_a_url_is_quoted() -> None:
    book = _book(KEY="a/b?c&d")

    assert book.reveal(f"https://x/?k={book.marker('KEY')}", in_url=True) == (
        "https://x/?k=a%2Fb%3Fc%26d"
    )


def test_a_name_that_was_not_referred_to_is_denied() -> None:
    with pytest.raises(NodeError) as refused:
        _book(KEY="x").handle("OTHER")

    assert refused.value.code == "SECRET_NOT_DECLARED"
