"""`manage.py seed_demo FILE`: the organizations `make up` starts with; safe to repeat."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from config.seeding import seed


class Command(BaseCommand):
    """Seeds two organizations and writes their logins into a private file."""

    # Checking every URL would import the whole API; the gate has done that.
    requires_system_checks = ()
    help = "Make the organizations Acme and Globex and write their logins into FILE."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One file; with --shelf the marketplace is not empty."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--shelf", action="store_true", help="publish two of the samples")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Seed and say who is there."""
        logins = seed(options["file"], is_shelf_wanted=options["shelf"])
        for login in (*logins["tenants"], *logins["members"]):
            self.stdout.write(f"{login['slug']}: {login['email']} ({login['role']})")
