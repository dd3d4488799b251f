"""The key-encryption key behind a port: wraps and unwraps data keys, never shows itself."""

import hashlib
import os
from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class KeyUnknown(Exception):
    """No key of this id is configured: it went before `manage.py rewrap_secrets` had finished."""


class KeyWrapping(Protocol):
    """A key-management service.

    `context` is authenticated, not stored; it must be the same on unwrapping.
    """

    @property
    def current(self) -> str:
        """The id of the key that wraps now."""
        ...

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Encrypt a data key under the current key."""
        ...

    def unwrap(self, wrapped: bytes, *, key_id: str, context: bytes) -> bytes | None:
        """Decrypt a data key; None if it was not wrapped by this key in this context."""
        ...


class LocalKeys:
    """Keys held by the process: the first wraps, all unwrap. Their ids are fingerprints."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(
                f"A key-encryption key has {KEY_BYTES} bytes, and there is at least one."
            )
        self._keys = {_fingerprint(key): AESGCM(key) for key in keys}
        self._current = _fingerprint(keys[0])

    @property
    def current(self) -> str:
        """The first key's id."""
        return self._current

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Nonce, ciphertext and tag in one."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._keys[self._current].encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, *, key_id: str, context: bytes) -> bytes | None:
        """The key, or None. Raises KeyUnknown."""
        if key_id not in self._keys:
            raise KeyUnknown(key_id)
        try:
            return self._keys[key_id].decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            return None


def _fingerprint(key: bytes) -> str:
    return "local:" + hashlib.sha256(b"nstarx key id v1\0" + key).hexdigest()[:16]
