"""Django settings of the site. Each one comes from the environment or has a safe default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django

from taskmaster.taskmaster_site import data, openapi
from taskmaster.taskmaster_site.database import django_database, shard_urls
from taskmaster.taskmaster_site.logs import logging_settings
from taskmaster.taskmaster_site.safety import LOOPBACK, refuse_unsafe, secret_key
from taskmaster.tasks.errors import ConfigurationError


def _list(variable: str, default: tuple[str, ...] = ()) -> list[str]:
    raw = os.environ.get(variable)
    return [each.strip() for each in raw.split(",") if each.strip()] if raw else list(default)


def _count(variable: str) -> int:
    raw = os.environ.get(variable) or "0"
    if not raw.isdecimal():
        raise ConfigurationError(f"{variable} is {raw!r}; it must be a whole number from 0.")
    return int(raw)


DEBUG = os.environ.get("TASKMASTER_DEBUG", "").lower() in ("1", "true", "yes", "on")
SECRET_KEY = secret_key(data.folder())
ALLOWED_HOSTS = _list("TASKMASTER_ALLOWED_HOSTS", LOOPBACK)
refuse_unsafe(debug=DEBUG, key=SECRET_KEY, hosts=ALLOWED_HOSTS)

# Hosts other than loopback are served over TLS only.
_PUBLIC = not set(ALLOWED_HOSTS) <= set(LOOPBACK)
SESSION_COOKIE_SECURE = _PUBLIC
CSRF_COOKIE_SECURE = _PUBLIC
CSRF_TRUSTED_ORIGINS = _list("TASKMASTER_TRUSTED_ORIGINS")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _PUBLIC else None
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    # `taskmaster` precedes `channels`, which also has a command `runworker`.
    "taskmaster",
    "taskmaster.tasks",
    "taskmaster.workers",
    "taskmaster.coordinator",
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
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "taskmaster.taskmaster_site.middleware.security.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "taskmaster.taskmaster_site.middleware.security.RejectNul",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "taskmaster.taskmaster_site.middleware.database_outage.DatabaseOutage",
]

ROOT_URLCONF = "taskmaster.taskmaster_site.urls"
ASGI_APPLICATION = "taskmaster.taskmaster_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).resolve().parent / "templates"],
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

#: See `taskmaster.tasks.conf.Settings`. TASKMASTER_<NAME> in the environment takes precedence.
TASKMASTER: dict[str, Any] = {"data_dir": str(data.folder())}
DATABASES = {
    "default": django_database(TASKMASTER),
    **{name: django_database(TASKMASTER, url) for name, url in shard_urls().items()},
}
DATABASE_ROUTERS = ["taskmaster.tasks.shards.Router"]
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
LOGIN_URL = "taskmaster:login"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "taskmaster.taskmaster_site.static_files.PrefixedStorage",
        "OPTIONS": {"base_url": STATIC_URL},
    },
}
# Static files are served from their source folders, without collectstatic.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG

# A bulk submission of 100,000 tasks has a large body. The API limits the parts of the body.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024

TASKS: dict[str, Any] = {
    "default": {
        "BACKEND": "taskmaster.tasks.backend.TaskMasterBackend",
        # Accept any queue. The submission validates the queue's name.
        "QUEUES": [],
    }
}
#: Modules with tasks, in addition to those of the installed apps.
TASKMASTER_TASK_MODULES: list[str] = []

# The number of proxies in front of the web processes. They tell the clients' addresses, by which
# failed logins are limited.
REST_FRAMEWORK = {"NUM_PROXIES": _count("TASKMASTER_PROXIES")}

# Make the command `spectacular` write the schema that the site serves.
SPECTACULAR_SETTINGS = openapi.SETTINGS

LOGGING = logging_settings()
