"""Settings of a project that differ from TaskMaster's own choices; without BASE_DIR."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django

SECRET_KEY = "a key of the shop's own, which is long enough to be taken for real"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "accounts",
    "tasks",
    "workers",
    "taskmaster",
    "taskmaster.tasks",
    "taskmaster.workers",
    "taskmaster.coordinator",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    *(["django_tasks"] if django.VERSION < (6, 0) else []),
]
AUTH_USER_MODEL = "accounts.User"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "shop.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).resolve().parent.parent / "templates"],
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
_url = urlsplit(os.environ["SHOP_DATABASE"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _url.hostname,
        "PORT": _url.port,
        "NAME": _url.path.removeprefix("/"),
        "USER": _url.username,
        "PASSWORD": unquote(_url.password),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
LOGIN_URL = "admin:login"
STATIC_URL = "/assets/"

# The shop runs small tasks synchronously; TaskMaster has its own alias.
_django_tasks = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
TASKS = {
    "default": {"BACKEND": f"{_django_tasks}.backends.immediate.ImmediateBackend"},
    "jobs": {"BACKEND": "taskmaster.tasks.backend.TaskMasterBackend", "QUEUES": []},
}

# Settings of other packages that differ from what TaskMaster's views need.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.AdminRenderer"],
    "DATETIME_FORMAT": "%d/%m/%Y",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FileUploadParser"],
}
SPECTACULAR_SETTINGS = {"TITLE": "The shop", "SCHEMA_PATH_PREFIX": "/nowhere"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"shop": {"format": "SHOP {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "shop"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
