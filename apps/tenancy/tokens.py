"""Secrets that people carry: how they are made, written, read back and compared.

A key is `nsx_<tenant>_<id>_<secret>`: the tenant comes first, so that the scope is known before any
row is looked up. Only an HMAC under the installation's pepper is kept.
"""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from dataclasses import dataclass, field

from django.conf import settings

_SECRET_BYTES = 32
_KEY = re.compile(r"nsx_([0-9a-f]{32})_([0-9a-f]{32})_([0-9a-f]{64})\Z")
_INVITATION = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})\Z")
PREFIX_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class KeyText:
    """A key taken apart; well formed, not yet believed."""

    tenant_id: uuid.UUID
    key_id: uuid.UUID
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"nsx_{self.tenant_id.hex}_{self.key_id.hex}_{self.secret}"

    def digest(self) -> bytes:
        """What is stored: bound to tenant and id, so that a digest fits one row only."""
        return _digest("api_key", self.tenant_id.hex, self.key_id.hex, self.secret)


@dataclass(frozen=True, kw_only=True)
class InvitationText:
    """The token of an invitation's link."""

    tenant_id: uuid.UUID
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.tenant_id.hex}.{self.secret}"

    def digest(self) -> bytes:
        """What is stored."""
        return _digest("invitation", self.tenant_id.hex, self.secret)


def new_secret() -> str:
    """256 random bits in hexadecimal."""
    return secrets.token_hex(_SECRET_BYTES)


def parse_key(text: str) -> KeyText | None:
    """The parts of a key; None for anything that is not one."""
    found = _KEY.match(text)
    if found is None:
        return None
    tenant, key, secret = found.groups()
    return KeyText(tenant_id=uuid.UUID(tenant), key_id=uuid.UUID(key), secret=secret)


def parse_invitation(text: str) -> InvitationText | None:
    """The parts of an invitation's token; None for anything that is not one."""
    found = _INVITATION.match(text)
    if found is None:
        return None
    return InvitationText(tenant_id=uuid.UUID(found.group(1)), secret=found.group(2))


def same(left: bytes, right: bytes) -> bool:
    """Compare digests in constant time."""
    return hmac.compare_digest(left, right)


def _digest(*parts: str) -> bytes:
    return hmac.digest(settings.PEPPER.encode(), "\n".join(parts).encode(), "sha256")
