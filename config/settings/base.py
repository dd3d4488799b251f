"""What all settings share; everything from outside comes through `config.env`."""

from __future__ import annotations

import os
from typing import Any

from config import mail, static_files
from config.env import ROOT, load

ENV = load(os.environ.get("NSTARX_MODE", "development"))

BASE_DIR = ROOT
SECRET_KEY = ENV.keys.secret_key
KEY_ENCRYPTION_KEY = ENV.keys.key_encryption_key
PREVIOUS_KEY_ENCRYPTION_KEYS = ENV.keys.previous_key_encryption_keys
PEPPER = ENV.keys.pepper
CURSOR_KEY = ENV.keys.cursor_key
DEBUG = ENV.debug
ALLOWED_HOSTS = list(ENV.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENV.csrf_trusted_origins)
PUBLIC_URL = ENV.public_url
DATA_DIR = ENV.data_dir

# The column, top to bottom; an app is added when it is built.
INSTALLED_APPS = [
    "config",
    "apps.marketplace",
    "apps.nodes",
    "apps.executions",
    "apps.security_scan",
    "apps.versions",
    "apps.workflows",
    "apps.billing",
    "apps.artifacts",
    "apps.vault",
    "apps.tenancy",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.forms",
    "django_htmx",
    "allauth",
    "allauth.account",
    "channels",
    "django_rq",
    "strawberry_django",
]

MIDDLEWARE = [
    "config.logs.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.tenancy.doors.support.SupportScope",
    "apps.kit.html.refusals.RefusalPages",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.tenancy.doors.navigation",
                "apps.executions.views.deciding.waiting_counts",
            ],
            "builtins": ["apps.kit.html.tags"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Three roles, one per process: the owner migrates, app serves people, engine runs workflows.
DATABASE_ROLE = ENV.role.value
DATABASE_ROLES = {
    "app": os.environ.get("NSTARX_APP_ROLE", "nstarx_app"),
    "engine": os.environ.get("NSTARX_ENGINE_ROLE", "nstarx_engine"),
}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": ENV.database.host,
        "PORT": ENV.database.port,
        "NAME": ENV.database.name,
        "USER": ENV.database.user,
        "PASSWORD": ENV.database.password,
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            **ENV.database.options,
            "connect_timeout": 5,
            # The web's statements are short; what is long belongs to a worker.
            "options": "-c statement_timeout=10000 -c lock_timeout=5000"
            " -c idle_in_transaction_session_timeout=15000"
            # What a SQL function does is planned once: the ORM's own statements have no parameters.
            " -c plan_cache_mode=force_generic_plan",
            "pool": {"min_size": 0, "max_size": 16, "timeout": 5},
        },
    }
}
if DATABASE_ROLE == "owner":
    # Migrations may take longer than a request, but wait for no lock that would stop the site.
    DATABASES["default"]["OPTIONS"]["options"] = "-c lock_timeout=2000"
    DATABASES["default"]["OPTIONS"].pop("pool")

REDIS_URL = ENV.redis_url
REDIS_BROKER_URL = ENV.redis(0)
REDIS_LIMITS_URL = ENV.redis(3)
RQ_QUEUES = {
    "default": {"URL": ENV.redis_with_timeouts(1), "DEFAULT_TIMEOUT": 300},
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [ENV.redis_with_timeouts(2)]},
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

AUTH_USER_MODEL = "tenancy.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_ADAPTER = "apps.tenancy.sign_in.AccountAdapter"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"

globals().update(mail.settings_of(ENV.email_url))

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static", ("graphiql", static_files.graphiql())]

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        # What is not named here is not loaded at all: frames, workers, media, objects.
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "connect-src": ["'self'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_310_720
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

STRAWBERRY_DJANGO = {
    "FIELD_DESCRIPTION_FROM_HELP_TEXT": True,
    "TYPE_DESCRIPTION_FROM_MODEL_DOCSTRING": True,
    "MUTATIONS_DEFAULT_HANDLE_ERRORS": False,
    "PAGINATION_DEFAULT_LIMIT": 20,
    "PAGINATION_MAX_LIMIT": 100,
}

# Hosts and ports on this machine that workflows may call although they are private: none,
# unless the environment names them (the demo's own sink does).
EGRESS_ALLOW_LOOPBACK = ENV.egress_allow

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "config.logs.formatter", "json": ENV.log_json}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # Bandit offers report formats whose packages we do not need.
        "stevedore": {"level": "CRITICAL"},
        # A line for every call would carry its address, and many an address carries a key.
        "httpx": {"level": "WARNING"},
    },
}
