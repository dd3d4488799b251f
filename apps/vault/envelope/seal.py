"""Sealing a text for one place, opening it there, and moving its key under a newer one."""

import json
import os
import uuid
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apps.vault.envelope.keys import NONCE_BYTES, KeyWrapping

ALGORITHM: Final = "A256GCM/1"


class Tampered(Exception):
    """What is stored does not belong to this place, or was changed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a sealed text belongs: one version of one secret of one tenant."""

    tenant_id: uuid.UUID
    secret_id: uuid.UUID
    version: int

    def context(self) -> bytes:
        """The bytes that are authenticated with the text and with its key."""
        parts = ["secret/v1", str(self.tenant_id), str(self.secret_id), self.version]
        return json.dumps(parts, separators=(",", ":")).encode()


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What may be stored. Nothing in it is secret by itself."""

    algorithm: str
    key_id: str
    wrapped_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


def seal(text: str, *, place: Place, keys: KeyWrapping) -> Sealed:
    """Encrypt under a fresh random key that is used this once."""
    key = AESGCM.generate_key(bit_length=256)
    nonce = os.urandom(NONCE_BYTES)
    context = place.context()
    return Sealed(
        algorithm=ALGORITHM,
        key_id=keys.current,
        wrapped_key=keys.wrap(key, context=context),
        nonce=nonce,
        ciphertext=AESGCM(key).encrypt(nonce, text.encode(), context),
    )


def open_sealed(sealed: Sealed, *, place: Place, keys: KeyWrapping) -> str:
    """The text. Raises Tampered, or KeyUnknown."""
    key = _data_key(sealed, place=place, keys=keys)
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, place.context()).decode()
    except (InvalidTag, ValueError) as error:
        raise Tampered from error


def rewrap(sealed: Sealed, *, place: Place, keys: KeyWrapping) -> Sealed:
    """The same text, its key under the current platform key; the text is not touched."""
    key = _data_key(sealed, place=place, keys=keys)
    return replace(sealed, key_id=keys.current, wrapped_key=keys.wrap(key, context=place.context()))


def _data_key(sealed: Sealed, *, place: Place, keys: KeyWrapping) -> bytes:
    if sealed.algorithm != ALGORITHM:
        raise Tampered
    key = keys.unwrap(sealed.wrapped_key, key_id=sealed.key_id, context=place.context())
    if key is None:
        raise Tampered
    return key
