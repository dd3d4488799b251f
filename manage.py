#!/usr/bin/env python3
"""Django's command line, on the development settings unless the environment names others."""

import os
import sys

from django.core.management import execute_from_command_line

from config.env import EnvironmentInvalid


def main() -> int:
    """Run one management command; an unusable environment is one sentence, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
    try:
        execute_from_command_line(sys.argv)
    except EnvironmentInvalid as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
