"""The plans: what each allows and costs. Data, so that a change of price is one reviewed line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from apps.billing.errors import PlanUnknown
from apps.tenancy.limits import Metric

_MIB: Final = 1024**2
_GIB: Final = 1024**3


class PlanKey(StrEnum):
    """Stored with each organization; a plan that was ever sold keeps its key."""

    FREE = "free"
    TEAM = "team"
    BUSINESS = "business"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan. `price_minor` is per month, in the minor unit; limits are in each metric's unit."""

    key: PlanKey
    name: str
    price_minor: int
    currency: str
    limits: Mapping[Metric, int]


def _plan(key: PlanKey, name: str, *, price_minor: int, limits: dict[Metric, int]) -> Plan:
    missing = set(Metric) - set(limits)
    if missing:
        # A metric without a limit would read as "nothing allowed" in the database.
        message = f"Plan {key} says nothing about {', '.join(sorted(missing))}"
        raise ValueError(message)
    return Plan(
        key=key,
        name=name,
        price_minor=price_minor,
        currency="USD",
        limits=MappingProxyType(limits),
    )


PLANS: Final[Mapping[PlanKey, Plan]] = MappingProxyType(
    {
        plan.key: plan
        for plan in (
            _plan(
                PlanKey.FREE,
                "Free",
                price_minor=0,
                limits={
                    Metric.MEMBERS: 3,
                    Metric.WORKFLOWS: 10,
                    Metric.SECRETS: 20,
                    Metric.API_KEYS: 5,
                    Metric.STORAGE_BYTES: 500 * _MIB,
                    Metric.RUNS_PER_MONTH: 1_000,
                    Metric.CONCURRENT_RUNS: 2,
                    Metric.CONCURRENT_STEPS: 4,
                    Metric.QUEUED_RUNS: 100,
                    Metric.STARTS_PER_MINUTE: 120,
                    Metric.FAIR_SHARE: 1,
                    Metric.RETENTION_DAYS: 30,
                    Metric.API_POINTS_PER_HOUR: 10_000,
                },
            ),
            _plan(
                PlanKey.TEAM,
                "Team",
                price_minor=4_900,
                limits={
                    Metric.MEMBERS: 25,
                    Metric.WORKFLOWS: 250,
                    Metric.SECRETS: 250,
                    Metric.API_KEYS: 50,
                    Metric.STORAGE_BYTES: 50 * _GIB,
                    Metric.RUNS_PER_MONTH: 50_000,
                    Metric.CONCURRENT_RUNS: 10,
                    Metric.CONCURRENT_STEPS: 32,
                    Metric.QUEUED_RUNS: 2_000,
                    Metric.STARTS_PER_MINUTE: 1_200,
                    Metric.FAIR_SHARE: 4,
                    Metric.RETENTION_DAYS: 90,
                    Metric.API_POINTS_PER_HOUR: 60_000,
                },
            ),
            _plan(
                PlanKey.BUSINESS,
                "Business",
                price_minor=49_900,
                limits={
                    Metric.MEMBERS: 500,
                    Metric.WORKFLOWS: 5_000,
                    Metric.SECRETS: 5_000,
                    Metric.API_KEYS: 1_000,
                    Metric.STORAGE_BYTES: 1_024 * _GIB,
                    Metric.RUNS_PER_MONTH: 2_000_000,
                    Metric.CONCURRENT_RUNS: 100,
                    Metric.CONCURRENT_STEPS: 400,
                    Metric.QUEUED_RUNS: 50_000,
                    Metric.STARTS_PER_MINUTE: 12_000,
                    Metric.FAIR_SHARE: 16,
                    Metric.RETENTION_DAYS: 365,
                    Metric.API_POINTS_PER_HOUR: 600_000,
                },
            ),
        )
    }
)


def plan_of(key: str) -> Plan:
    """The plan with this key. Raises PlanUnknown."""
    try:
        return PLANS[PlanKey(key)]
    except ValueError:
        raise PlanUnknown(tuple(PlanKey)) from None
