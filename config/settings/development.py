"""Settings of a developer's machine and of `make up`."""

from config.settings.base import *  # noqa: F403 - the one place where a star says what is meant
