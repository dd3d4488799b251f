"""Where the key-encryption keys of this installation come from."""

from __future__ import annotations

import functools

from django.conf import settings

from apps.vault.envelope import KeyWrapping, LocalKeys


def platform_keys() -> KeyWrapping:
    """The current key and those it replaced, from the environment."""
    return _local((settings.KEY_ENCRYPTION_KEY, *settings.PREVIOUS_KEY_ENCRYPTION_KEYS))


@functools.lru_cache(maxsize=4)
def _local(keys: tuple[bytes, ...]) -> LocalKeys:
    return LocalKeys(keys)
