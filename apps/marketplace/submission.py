"""What a publisher says about a release, checked before anything is written."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from apps.kit.errors import Refusal
from apps.marketplace import licenses, semver
from apps.marketplace.terms import Category, Channel, PricingModel, Visibility
from apps.versions.semver import NotSemVer, SemVer

MAX_NAME = 200
MAX_TAGLINE = 200
MAX_TAGS = 10
MAX_TAG = 50
MAX_TEXT = 20_000
MAX_PRICE_MINOR = 100_000_000
MAX_URL = 2_048
MAX_COMMIT = 64


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """What using a listing costs; `price_minor` in the currency's minor unit."""

    model: PricingModel = PricingModel.FREE
    price_minor: int = 0
    currency: str = "USD"
    interval: str = ""
    trial_days: int | None = None
    usage_metric: str = ""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The metadata of a release.

    `listing_id` names the listing it belongs to, if there is one; `publisher_id` may name the
    organization's own publisher.
    """

    name: str
    description: str
    category: Category
    version: str
    changelog: str
    license: str
    documentation: str
    platform: str
    listing_id: uuid.UUID | None = None
    publisher_id: uuid.UUID | None = None
    tagline: str = ""
    tags: tuple[str, ...] = ()
    channel: Channel = Channel.STABLE
    visibility: Visibility = Visibility.PUBLIC
    pricing: Pricing = Pricing()
    source_repository: str = ""
    source_commit: str = ""


def check(submission: Submission) -> None:
    """Raise a Refusal that points at the first thing that does not fit."""
    _check_texts(submission)
    _check_versions(submission)
    _check_pricing(submission.pricing)
    if licenses.find(submission.license) is None:
        known = ", ".join(sorted(licenses.LICENSES))
        raise _refused(f"This licence is not known. Use one of: {known}.", "license")
    if len(submission.tags) > MAX_TAGS or any(
        not 1 <= len(tag.strip()) <= MAX_TAG for tag in submission.tags
    ):
        raise _refused(f"Give at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters.", "tags")


def normal_tags(tags: tuple[str, ...]) -> list[str]:
    """Tags in lower case, without repeats, in order."""
    return list(dict.fromkeys(tag.strip().lower() for tag in tags))


def _check_texts(submission: Submission) -> None:
    limits = (
        ("name", submission.name, 1, MAX_NAME),
        ("tagline", submission.tagline, 0, MAX_TAGLINE),
        ("description", submission.description, 1, MAX_TEXT),
        ("changelog", submission.changelog, 0, MAX_TEXT),
        ("documentation", submission.documentation, 0, MAX_TEXT * 5),
        ("sourceRepository", submission.source_repository, 0, MAX_URL),
        ("sourceCommit", submission.source_commit, 0, MAX_COMMIT),
    )
    for field, text, least, most in limits:
        if not least <= len(text.strip()) or len(text) > most:
            raise _refused(f"{field} has {least} to {most} characters.", field)
        if "\x00" in text:
            raise _refused(f"{field} holds a null character. Remove it.", field)


def _check_versions(submission: Submission) -> None:
    try:
        version = SemVer.parse(submission.version)
    except NotSemVer as error:
        raise _refused(
            "Write a semantic version such as 1.4.0 or 2.0.0-beta.1.", "version"
        ) from error
    if submission.channel is Channel.STABLE and version.prerelease:
        raise _refused(
            "A pre-release goes to the channel BETA or CANARY, a stable version to STABLE.",
            "channel",
        )
    try:
        semver.check_range(submission.platform)
    except semver.InvalidRange as error:
        raise _refused(str(error), "platform") from error


def _check_pricing(pricing: Pricing) -> None:
    has_price = pricing.price_minor > 0
    if not 0 <= pricing.price_minor <= MAX_PRICE_MINOR:
        raise _refused("A price lies between 0 and 1,000,000.00.", "pricing", "price")
    match pricing.model:
        case PricingModel.FREE | PricingModel.CONTACT if has_price:
            raise _refused("A price needs another pricing model.", "pricing", "price")
        case PricingModel.ONE_TIME | PricingModel.SUBSCRIPTION if not has_price:
            raise _refused("This pricing model needs a price.", "pricing", "price")
        case PricingModel.SUBSCRIPTION if pricing.interval not in {"MONTH", "YEAR"}:
            raise _refused("A subscription needs an interval.", "pricing", "interval")
        case _:
            pass


def _refused(message: str, *path: str) -> Refusal:
    return Refusal(message, path=("metadata", *path))
