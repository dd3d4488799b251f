"""Signing in: django-allauth's forms and sessions, our bucket against guessing."""

from __future__ import annotations

import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from apps.kit.rate_limit import Bucket, WhenBlind, take

# Ten tries, one more each minute. Without Redis nobody signs in: guessing must not become free.
BY_ACCOUNT = Bucket(
    name="sign-in-account", capacity=10, per_second=1 / 60, when_blind=WhenBlind.REFUSE
)
BY_ADDRESS = Bucket(
    name="sign-in-address", capacity=50, per_second=1 / 6, when_blind=WhenBlind.REFUSE
)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """How allauth asks us."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt against the account and the caller's address, known or not."""
        account = str(credentials.get("email") or credentials.get("username") or "").lower()
        key = hashlib.sha256(account.encode()).hexdigest()
        address = str(request.META.get("REMOTE_ADDR", ""))
        if not (take(BY_ACCOUNT, key).allowed and take(BY_ADDRESS, address).allowed):
            raise self.validation_error("too_many_login_attempts")

    def _rollback_login_failed_rl_usage(self) -> None:
        """Nothing to give back: success costs an attempt, too, and the bucket refills."""
