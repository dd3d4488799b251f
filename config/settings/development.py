"""Settings of a developer's machine and of `make up`."""

from config.settings.base import *  # noqa: F403 - the one place where a star says what is meant

# Static files are served from where they are; nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
