"""What tenancy does when it has spoken itself."""

from __future__ import annotations

from functools import partial

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from apps.kit.events import on
from apps.tenancy import jobs  # noqa: F401 - declares the periodic jobs
from apps.tenancy.events import MemberInvited


@on(MemberInvited)
def write_to_the_invited(event: MemberInvited) -> None:
    """Send the link once the invitation is committed."""
    link = f"{settings.PUBLIC_URL}/invitations/{event.token}/"
    transaction.on_commit(
        partial(
            send_mail,
            subject=f"Join {event.organization} on NStarX Workflows",
            message=(
                f"{event.invited_by} invites you to {event.organization}.\n\n"
                f"Open this link within seven days, signed in as {event.email}:\n{link}\n"
            ),
            from_email=None,
            recipient_list=[event.email],
            fail_silently=True,
        ),
        # The invitation stands, whatever becomes of the mail: it can be sent again.
        robust=True,
    )
