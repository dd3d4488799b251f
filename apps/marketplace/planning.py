"""What installing a release would mean here, worked out without writing anything."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.kit.errors import ErrorCode, Forbidden, NotFound, Refusal
from apps.marketplace import compatibility, packaging, semver
from apps.marketplace.errors import Incompatible, Obstacle, PaymentRequired
from apps.marketplace.models import Listing, Release
from apps.marketplace.policies import can_install
from apps.marketplace.requirements import Permission, Requirements, Slot, strings
from apps.marketplace.terms import Channel, PricingModel, ReleaseStatus, UpdatePolicy
from apps.security_scan.scanner import braces
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Environment
from apps.vault.models import Connection
from apps.vault.secrets import missing_secrets, variables_of
from apps.workflows.graph import catalogue

_VARIABLE = re.compile(r"\bvariables\s*\.\s*([A-Za-z_]\w*)")
MAX_CANDIDATES = 500
_CHANNELS = {
    Channel.STABLE: (Channel.STABLE,),
    Channel.BETA: (Channel.STABLE, Channel.BETA),
    Channel.CANARY: tuple(Channel),
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What an installer chose: overrides, bindings, agreements, which release."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    bindings: Mapping[str, uuid.UUID] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    environment_id: uuid.UUID | None = None
    update_policy: UpdatePolicy = UpdatePolicy.NOTIFY
    workflow_name: str | None = None
    accept_license: bool = False
    accepted_permissions: frozenset[str] = frozenset()
    version: str | None = None
    channel: Channel = Channel.STABLE

    def to_json(self) -> dict[str, Any]:
        """As an installation remembers it, and an idempotency key recognises it."""
        return {
            "parameters": dict(self.parameters),
            "bindings": {slot: str(one) for slot, one in self.bindings.items()},
            "resources": dict(self.resources),
            "environmentId": str(self.environment_id) if self.environment_id else None,
            "updatePolicy": self.update_policy.value,
            "workflowName": self.workflow_name,
            "acceptLicense": self.accept_license,
            "acceptedPermissions": sorted(self.accepted_permissions),
            "version": self.version,
            "channel": self.channel.value,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be installed where, what it may do, and what is still missing."""

    listing: Listing
    release: Release
    environment: Environment
    requirements: Requirements
    secrets: Mapping[str, str]
    missing_slots: tuple[Slot, ...]
    missing_variables: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What whoever installs must agree to."""
        return self.requirements.permissions

    @property
    def is_compatible(self) -> bool:
        """Whether nothing of the platform's stands in the way."""
        return not any(one.blocking for one in self.obstacles)


def plan_install(
    *, listing_id: uuid.UUID, environment_kind: str, choices: Choices | None = None
) -> Plan:
    """The plan for the organization in force. Raises NotFound and YANKED, writes nothing."""
    with scope.transaction():
        return _plan(listing_id, environment_kind, choices or Choices())


def _plan(listing_id: uuid.UUID, environment_kind: str, chosen: Choices) -> Plan:
    shown = Listing.objects.shown().select_related("publisher")
    listing = shown.filter(pk=listing_id).first()
    if listing is None:
        raise NotFound.of("workflow", path=("workflowId",))
    release = resolve_release(listing, version=chosen.version, channel=chosen.channel)
    environment = find_environment(environment_kind, environment_id=chosen.environment_id)
    requirements = Requirements.from_json(release.requirements)
    secrets = _bound_secrets(requirements, chosen.bindings, environment)
    absent = missing_secrets(secrets.values(), environment.pk)
    return Plan(
        listing=listing,
        release=release,
        environment=environment,
        requirements=requirements,
        secrets=secrets,
        missing_slots=tuple(
            slot
            for slot in requirements.slots
            if not slot.optional and secrets[slot.slot] in absent
        ),
        missing_variables=_missing_variables(release.document, environment),
        obstacles=compatibility.obstacles(requirements, catalogue.INSTALLED),
    )


def blockers(actor: Actor, listing: Listing, release: Release | None) -> tuple[Refusal, ...]:
    """Why a listing with this latest release cannot be installed here, whatever is configured."""
    found: list[Refusal] = []
    if not can_install(actor):
        found.append(Forbidden("Installing needs the scope marketplace:install."))
    if listing.pricing_model not in {PricingModel.FREE, PricingModel.CONTACT}:
        found.append(PaymentRequired(listing))
    if release is None:
        return (*found, NotFound.of("release", path=("workflowId",)))
    needs = Requirements.from_json(release.requirements)
    obstacles = compatibility.obstacles(needs, catalogue.INSTALLED)
    if any(one.blocking for one in obstacles):
        found.append(Incompatible(obstacles, platform_range=needs.platform))
    return tuple(found)


def resolve_release(listing: Listing, *, version: str | None, channel: Channel) -> Release:
    """The release of a version, or the highest of a channel. Raises NotFound or YANKED."""
    releases = Release.objects.filter(listing=listing)
    if version is not None:
        named = releases.filter(version=version).first()
        if named is not None and named.status in {ReleaseStatus.YANKED, ReleaseStatus.REVOKED}:
            raise Refusal(
                f"Version {version} was withdrawn: {named.yank_reason or 'no reason given'}. "
                "Choose another version.",
                code=ErrorCode.YANKED,
                path=("configuration", "version"),
            )
        if named is None or named.status != ReleaseStatus.PUBLISHED:
            raise NotFound.of("release", path=("configuration", "version"))
        return named
    highest = highest_releases([listing.pk], channel=channel).get(listing.pk)
    if highest is None:
        raise NotFound.of("release", path=("configuration", "channel"))
    return releases.get(pk=highest)


def highest_releases(
    listing_ids: Collection[uuid.UUID], *, channel: Channel
) -> dict[uuid.UUID, uuid.UUID]:
    """The highest installable release of a channel for each listing that has one, by id."""
    offered: dict[uuid.UUID, dict[str, uuid.UUID]] = {}
    rows = (
        Release.objects.installable()
        .filter(listing_id__in=listing_ids, channel__in=_CHANNELS[channel])
        .order_by("-id")
        .values_list("listing_id", "version", "pk")[: MAX_CANDIDATES * len(listing_ids)]
    )
    for listing_id, version, pk in rows:
        offered.setdefault(listing_id, {})[version] = pk
    highest = {listing_id: semver.latest(versions) for listing_id, versions in offered.items()}
    return {key: offered[key][version] for key, version in highest.items() if version is not None}


def find_environment(kind: str, *, environment_id: uuid.UUID | None = None) -> Environment:
    """The organization's default environment of a kind, or the one that is named."""
    found = Environment.objects.filter(kind=kind)
    if environment_id is not None:
        named = found.filter(pk=environment_id).first()
        if named is None:
            raise NotFound.of("environment", path=("configuration", "namedEnvironmentId"))
        return named
    default = found.filter(is_default=True).first()
    if default is None:
        raise NotFound.of("environment", path=("targetEnvironment",))
    return default


def is_intact(plan: Plan) -> bool:
    """Whether the stored document and requirements are those that were approved."""
    computed = packaging.digest_of(
        plan.release.document,
        publisher=str(plan.listing.tenant_id),
        slug=plan.listing.slug,
        version=plan.release.version,
        requirements=plan.release.requirements,
    )
    return packaging.is_intact(plan.release.digest, computed)


def _bound_secrets(
    requirements: Requirements, bindings: Mapping[str, uuid.UUID], environment: Environment
) -> dict[str, str]:
    """For each slot the name of the secret that fills it in this environment."""
    known = {slot.slot for slot in requirements.slots}
    unknown = sorted(set(bindings) - known)
    if unknown:
        offered = ", ".join(sorted(known)) or "none"
        raise Refusal(
            f"The workflow has no slot {unknown[0][:60]!r}. It has: {offered}.",
            path=("configuration", "connectionBindings"),
        )
    names = {slot: slot for slot in known}
    connections = {
        one.pk: one
        for one in Connection.objects.filter(
            pk__in=list(bindings.values()), environment_id=environment.pk
        )
    }
    for slot, connection_id in bindings.items():
        connection = connections.get(connection_id)
        if connection is None:
            raise NotFound.of("connection", path=("configuration", "connectionBindings"))
        names[slot] = _secret_of(connection, slot)
    return names


def _secret_of(connection: Connection, slot: str) -> str:
    """The secret of a connection that fills a slot: the field of that name, or its only one."""
    fields = {str(name).lower(): str(secret) for name, secret in connection.secrets.items()}
    if slot.lower() in fields:
        return fields[slot.lower()]
    if len(fields) == 1:
        return next(iter(fields.values()))
    raise Refusal(
        f"The connection {connection.name} has several secrets and none is called {slot}. "
        "Bind a connection with one secret, or set the secret itself.",
        path=("configuration", "connectionBindings"),
    )


def _missing_variables(document: Mapping[str, Any], environment: Environment) -> tuple[str, ...]:
    used = {
        name
        for text in strings([document.get("nodes"), document.get("connections")])
        for inside in braces.insides(text)
        for name in _VARIABLE.findall(inside)
    }
    if not used:
        return ()
    own = set((document.get("configuration") or {}).get("variables") or {})
    return tuple(sorted(used - own - set(variables_of(environment.pk))))
