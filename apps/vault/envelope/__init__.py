"""Envelope encryption: each version of a secret has a random key, wrapped by the platform's key.

Pure: bytes in, bytes out. Whose secret it is (tenant, id, version) is authenticated with the text
and with the wrapped key, so a row copied to another place does not open there.
"""

from apps.vault.envelope.keys import KeyUnknown, KeyWrapping, LocalKeys
from apps.vault.envelope.seal import Place, Sealed, Tampered, open_sealed, rewrap, seal

__all__ = [
    "KeyUnknown",
    "KeyWrapping",
    "LocalKeys",
    "Place",
    "Sealed",
    "Tampered",
    "open_sealed",
    "rewrap",
    "seal",
]
