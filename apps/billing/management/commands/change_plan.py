"""Puts an organization on a plan, for operators."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.billing.actions import change_plan
from apps.billing.plans import PlanKey
from apps.tenancy import scope
from apps.tenancy.actors import Actor
from apps.tenancy.models import Organization


class Command(BaseCommand):
    """`manage.py change_plan acme team`."""

    help = "Put an organization on a plan; what it uses already stays."

    def add_arguments(self, parser: CommandParser) -> None:
        """The organization's short name and the plan's key."""
        parser.add_argument("slug")
        parser.add_argument("plan", choices=[key.value for key in PlanKey])

    def handle(self, *_: Any, **options: Any) -> None:
        """Change it and say so."""
        with scope.platform():
            organization = Organization.objects.filter(slug=options["slug"]).first()
        if organization is None:
            raise CommandError(f"There is no organization {options['slug']!r}.")
        actor = Actor.system(organization.pk, name="manage.py change_plan")
        with scope.tenant(organization.pk, actor=actor):
            plan = change_plan(actor=actor, plan_key=options["plan"])
        self.stdout.write(f"{organization.slug} is on the plan {plan.name}")
