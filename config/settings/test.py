"""Settings of the tests: real PostgreSQL and Redis, cheap password hashing, nothing mocked."""

import os

os.environ.setdefault("NSTARX_MODE", "test")

from config.settings.base import *  # noqa: F403 - the mode must be known before base reads it
from config.settings.base import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# One connection a thread, closed by the test that opened it.
DATABASES["default"]["OPTIONS"].pop("pool", None)
# Nothing is collected for tests: static files are found where they are.
WHITENOISE_AUTOREFRESH = True
# Nothing is collected for the tests: static files come from where they are written.
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
