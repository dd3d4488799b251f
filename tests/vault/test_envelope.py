"""A sealed text opens in its own place, with the right key, and nowhere else."""

import os
import uuid
from dataclasses import replace
from typing import Any

import pytest

from apps.vault.envelope import (
    KeyUnknown,
    LocalKeys,
    Place,
    Tampered,
    open_sealed,
    rewrap,
    seal,
)

OLD, NEW = os.urandom(32), os.urandom(32)
PLACE = Place(tenant_id=uuid.uuid4(), secret_id=uuid.uuid4(), version=3)
TEXT = "pässword-🔑"


def _only(part: str, value: bytes) -> Any:
    return {part: value}


def test_a_text_opens_where_it_was_sealed() -> None:
    keys = LocalKeys([OLD])
    assert open_sealed(seal(TEXT, place=PLACE, keys=keys), place=PLACE, keys=keys) == TEXT


def test_the_same_text_never_looks_the_same() -> None:
    keys = LocalKeys([OLD])
    first, second = (seal(TEXT, place=PLACE, keys=keys) for _ in range(2))
    assert first.ciphertext != second.ciphertext
    assert first.wrapped_key != second.wrapped_key


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, tenant_id=uuid.uuid4()),
        replace(PLACE, secret_id=uuid.uuid4()),
        replace(PLACE, version=2),
    ],
    ids=["tenant", "secret", "version"],
)
def test_a_copy_does_not_open_elsewhere(elsewhere: Place) -> None:
    keys = LocalKeys([OLD])
    with pytest.raises(Tampered):
        open_sealed(seal(TEXT, place=PLACE, keys=keys), place=elsewhere, keys=keys)


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
def test_a_changed_byte_is_noticed(part: str) -> None:
    keys = LocalKeys([OLD])
    sealed = seal(TEXT, place=PLACE, keys=keys)
    bent = bytearray(getattr(sealed, part))
    bent[-1] ^= 1
    with pytest.raises(Tampered):
        open_sealed(replace(sealed, **_only(part, bytes(bent))), place=PLACE, keys=keys)


@pytest.mark.parametrize("part", ["wrapped_key", "nonce", "ciphertext"])
def test_a_missing_part_is_noticed(part: str) -> None:
    keys = LocalKeys([OLD])
    sealed = seal(TEXT, place=PLACE, keys=keys)
    with pytest.raises(Tampered):
        open_sealed(replace(sealed, **_only(part, b"")), place=PLACE, keys=keys)


def test_an_unknown_algorithm_is_not_tried() -> None:
    keys = LocalKeys([OLD])
    sealed = replace(seal(TEXT, place=PLACE, keys=keys), algorithm="none")
    with pytest.raises(Tampered):
        open_sealed(sealed, place=PLACE, keys=keys)


def test_rotation_moves_the_key_and_leaves_the_text() -> None:
    before = seal(TEXT, place=PLACE, keys=LocalKeys([OLD]))
    after = rewrap(before, place=PLACE, keys=LocalKeys([NEW, OLD]))
    assert (after.nonce, after.ciphertext) == (before.nonce, before.ciphertext)
    assert after.key_id == LocalKeys([NEW]).current != before.key_id
    assert open_sealed(after, place=PLACE, keys=LocalKeys([NEW])) == TEXT


def test_a_key_that_was_taken_away_is_named() -> None:
    sealed = seal(TEXT, place=PLACE, keys=LocalKeys([OLD]))
    with pytest.raises(KeyUnknown):
        open_sealed(sealed, place=PLACE, keys=LocalKeys([NEW]))


def test_nothing_printed_shows_key_or_text() -> None:
    sealed = seal(TEXT, place=PLACE, keys=LocalKeys([OLD]))
    assert TEXT not in repr(sealed)
    assert "ciphertext" not in repr(sealed)


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_a_key_of_another_size_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LocalKeys(keys)
