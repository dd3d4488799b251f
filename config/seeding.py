"""The two organizations, their people, keys and sample workflows that `make up` starts with."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apps.kit.errors import Unauthenticated
from apps.kit.events import on
from apps.tenancy import doors, scope
from apps.tenancy.actions import (
    accept_invitation,
    create_api_key,
    create_organization,
    invite_member,
)
from apps.tenancy.actors import Actor, Permission, Role
from apps.tenancy.events import MemberInvited
from apps.tenancy.models import User
from apps.workflows.actions import create_workflow
from apps.workflows.models import Workflow
from config import showcase
from config.env import ROOT
from config.supervisor.keys import write_private

SAMPLES: Final = ROOT / "apps" / "nodes" / "examples"
STAFF_EMAIL: Final = "staff@nstarx.example"
PLAN: Final = "team"
_tokens: dict[str, str] = {}
KEY_SCOPES: Final = [p.value for p in Permission if p is not Permission.PLATFORM_ADMIN]


@dataclass(frozen=True)
class Company:
    """One organization to be."""

    slug: str
    name: str
    owner: tuple[str, str]
    others: tuple[tuple[str, str, Role], ...]
    has_samples: bool = False


COMPANIES: Final = (
    Company(
        slug="acme",
        name="Acme",
        owner=("ada@acme.example", "Ada Owner"),
        others=(
            ("eli@acme.example", "Eli Editor", Role.EDITOR),
            ("vera@acme.example", "Vera Viewer", Role.VIEWER),
        ),
        has_samples=True,
    ),
    Company(
        slug="globex",
        name="Globex",
        owner=("gus@globex.example", "Gus Owner"),
        others=(("olga@globex.example", "Olga Operator", Role.OPERATOR),),
    ),
)


@on(MemberInvited)
def _keep_token(event: MemberInvited) -> None:
    """An invitation's token is written down nowhere; the invited here have no mailbox."""
    _tokens[event.email] = event.token


def seed(file: Path, *, is_shelf_wanted: bool = False) -> dict[str, Any]:
    """Make what is missing; `file` keeps the logins, which the database only has as digests."""
    known = json.loads(file.read_text()) if file.exists() else {}
    logins: dict[str, Any] = {"tenants": [], "members": []}
    old = {entry["email"]: entry for key in logins for entry in known.get(key, [])}
    for company in COMPANIES:
        email, name = company.owner
        owner = _person(email, name=name, login=old.get(email, {}))
        if doors.place_of(owner.user, slug=company.slug) is None:
            create_organization(
                founder=owner.user, slug=company.slug, name=company.name, plan_key=PLAN
            )
        logins["tenants"].append(_login(owner, company, login=old.get(email, {})))
        for email, name, role in company.others:
            person = _person(email, name=name, login=old.get(email, {}))
            _join(person, company, role=role, inviter=_actor(owner, company))
            logins["members"].append(_login(person, company, login=old.get(email, {})))
        if company.has_samples:
            publisher = _actor(owner, company)
            _samples(publisher)
    staff = _person(STAFF_EMAIL, name="Sam Staff", login=known.get("staff", {}), staff=True)
    logins["staff"] = {"email": STAFF_EMAIL, "password": staff.password}
    if is_shelf_wanted:
        reviewer = Actor.staff(user_id=staff.user.pk, name=staff.user.display_name)
        showcase.fill(SAMPLES, publisher=publisher, staff=reviewer)
    write_private(file, json.dumps(logins, indent=2) + "\n")
    return logins


@dataclass(frozen=True)
class _Person:
    user: User
    password: str


def _person(email: str, *, name: str, login: dict[str, str], staff: bool = False) -> _Person:
    """An account with a password we know: the remembered one while it still opens the door."""
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, name=name)
    password = login.get("password", "")
    if not (password and user.check_password(password)):
        password = secrets.token_urlsafe(12)
        user.set_password(password)
    user.is_staff = user.is_superuser = staff
    user.save()
    return _Person(user, password)


def _join(person: _Person, company: Company, *, role: Role, inviter: Actor) -> None:
    if doors.place_of(person.user, slug=company.slug) is not None:
        return
    with scope.enter(scope.Scope.of(inviter)):
        invite_member(actor=inviter, email=person.user.email, role=role.value)
    accept_invitation(user=person.user, token=_tokens[person.user.email])


def _samples(actor: Actor) -> None:
    """The documents of the repository as drafts; one that is there by name stays as it is."""
    with scope.enter(scope.Scope.of(actor)):
        for path in sorted(SAMPLES.glob("*.json")):
            document = json.loads(path.read_text())
            with scope.transaction():
                is_there = Workflow.objects.filter(name=document["name"]).exists()
            if not is_there:
                create_workflow(actor=actor, document=document)


def _login(person: _Person, company: Company, *, login: dict[str, str]) -> dict[str, str]:
    actor = _actor(person, company)
    key = login.get("apiKey", "")
    if not _opens(key):
        with scope.enter(scope.Scope.of(actor)):
            mine = [text for text in KEY_SCOPES if actor.has(Permission(text))]
            key = create_api_key(actor=actor, name="demo", scopes=mine).text
    return {
        "slug": company.slug,
        "email": person.user.email,
        "password": person.password,
        "apiKey": key,
        "role": str(actor.role),
    }


def _actor(person: _Person, company: Company) -> Actor:
    place = doors.place_of(person.user, slug=company.slug)
    if place is None:
        message = f"{person.user.email} has no place in {company.slug}"
        raise LookupError(message)
    return place.actor


def _opens(key: str) -> bool:
    try:
        doors.actor_of_key(key)
    except Unauthenticated:
        return False
    return True
