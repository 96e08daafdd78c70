"""Django's settings, each taken from the environment or safe by default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django

from taskmaster_site.database import django_database, shard_urls
from taskmaster_site.logs import log_level
from taskmaster_site.safety import LOOPBACK, refuse_unsafe, secret_key


def _list(variable: str, default: tuple[str, ...] = ()) -> list[str]:
    raw = os.environ.get(variable)
    return [each.strip() for each in raw.split(",") if each.strip()] if raw else list(default)


BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("TASKMASTER_DEBUG", "").lower() in ("1", "true", "yes", "on")
SECRET_KEY = secret_key(BASE_DIR / ".data")
ALLOWED_HOSTS = _list("TASKMASTER_ALLOWED_HOSTS", LOOPBACK)
refuse_unsafe(debug=DEBUG, key=SECRET_KEY, hosts=ALLOWED_HOSTS)

# Beyond this machine everything comes over TLS.
_PUBLIC = not set(ALLOWED_HOSTS) <= set(LOOPBACK)
SESSION_COOKIE_SECURE = _PUBLIC
CSRF_COOKIE_SECURE = _PUBLIC
CSRF_TRUSTED_ORIGINS = _list("TASKMASTER_TRUSTED_ORIGINS")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _PUBLIC else None
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    # Before channels, which has a `runworker` of its own.
    "taskmaster_site",
    "tasks",
    "workers",
    "coordinator",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_eventstream",
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "taskmaster_site.csp.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "taskmaster_site.nul.NoNul",
    "taskmaster_site.shards.Shards",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "taskmaster_site.trouble.DatabaseTrouble",
]

ROOT_URLCONF = "taskmaster_site.urls"
ASGI_APPLICATION = "taskmaster_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

#: See `tasks.conf.Settings`; TASKMASTER_<NAME> in the environment wins.
TASKMASTER: dict[str, Any] = {}
DATABASES = {
    "default": django_database(TASKMASTER),
    **{name: django_database(TASKMASTER, url) for name, url in shard_urls().items()},
}
DATABASE_ROUTERS = ["tasks.shards.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served from where they lie: nothing to collect.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

# A bulk of 100,000 tasks is a large body; the limits of its parts are checked by the API.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024

TASKS: dict[str, Any] = {
    "default": {
        "BACKEND": "tasks.backend.TaskMasterBackend",
        # Any queue: what its name may be is checked at submission.
        "QUEUES": [],
    }
}
#: Modules whose tasks web, coordinator and workers know.
TASKMASTER_TASK_MODULES = _list("TASKMASTER_TASK_MODULES", ("examples.tasks",))

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "taskmaster_site.trouble.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "TaskMaster",
    "DESCRIPTION": "Submit tasks, see what became of them, cancel and retry them.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# What listens is in `tasks.events`; its own tables stay empty.
EVENTSTREAM_STORAGE_CLASS = "tasks.events.ring.RingStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "tasks.events.channels.Channels"

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"unsaid": {"()": "taskmaster_site.logs.Unsaid"}},
    "formatters": {"line": {"()": "taskmaster_site.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": log_level(),
    },
    "loggers": {
        "django_tasks": {"level": "WARNING"},
        "django.tasks": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django_eventstream": {"level": "WARNING"},
        # Its error reaches whoever asked for the connection.
        "psycopg.pool": {"level": "ERROR"},
        # A client's mistake is the client's to read.
        "django.request": {"level": "ERROR", "filters": ["unsaid"]},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
