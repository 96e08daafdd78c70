"""Route all pages and APIs except the admin: `path("ops/", include("taskmaster.urls"))`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, include, path, re_path
from django.utils.decorators import decorator_from_middleware

from taskmaster.tasks.extras import EXTRAS, MissingExtra, require_extra

try:
    require_extra("site", "taskmaster.urls", *EXTRAS["api"], "channels", "django-eventstream")
except MissingExtra as error:
    raise ImproperlyConfigured(str(error)) from None

_REQUIRED_APPS = ("rest_framework", "rest_framework.authtoken", "django_filters", "drf_spectacular")
if missing := [app for app in _REQUIRED_APPS if not apps.is_installed(app)]:
    raise ImproperlyConfigured(
        f"INSTALLED_APPS lacks {', '.join(missing)}, which taskmaster.urls needs; add it as "
        "described in docs/quickstart/existing-project.md."
    )

# These imports need the apps above.
from taskmaster.taskmaster_site import shards
from taskmaster.taskmaster_site.console.consumer import needs_websocket
from taskmaster.taskmaster_site.middleware import database_outage, security
from taskmaster.taskmaster_site.monitoring.health import healthz
from taskmaster.taskmaster_site.monitoring.metrics import MetricsView
from taskmaster.taskmaster_site.pages import (
    create,
    dashboard,
    login,
    pools,
    schedule,
    schedule_actions,
    schedule_form,
    schedule_list,
    task,
    task_list,
    worker_list,
    workers,
)

#: Middleware of the pages, applied wherever the URLs are included. The last is the innermost.
_PAGE_MIDDLEWARE = [
    decorator_from_middleware(middleware)
    for middleware in (
        security.ContentSecurityPolicy,
        security.RejectNul,
        database_outage.DatabaseOutage,
    )
]


def _page(route: str, view: Callable[..., Any], name: str) -> URLPattern:
    for decorate in reversed(_PAGE_MIDDLEWARE):
        view = decorate(view)
    return path(route, view, name=name)


app_name = "taskmaster"
urlpatterns = [
    _page("", dashboard.dashboard, "dashboard"),
    _page("dashboard/tasks/", dashboard.table, "task-table"),
    _page("tasks/", task_list.task_list, "tasks"),
    _page("tasks/<int:task_id>/", task.task, "task"),
    _page("tasks/<int:task_id>/cancel/", task.cancel, "task-cancel"),
    _page("tasks/<int:task_id>/retry/", task.retry, "task-retry"),
    _page("create/", create.create, "create"),
    _page("schedules/", schedule_list.schedule_list, "schedules"),
    _page("schedules/pause/", schedule_actions.pause_all, "schedules-pause"),
    _page("schedules/resume/", schedule_actions.resume_all, "schedules-resume"),
    _page("schedules/new/", schedule_form.new, "schedule-new"),
    _page("schedules/preview/", schedule_form.preview, "schedule-preview"),
    _page("schedules/<int:schedule_id>/", schedule.schedule, "schedule"),
    _page("schedules/<int:schedule_id>/edit/", schedule_form.edit, "schedule-edit"),
    _page("schedules/<int:schedule_id>/run/", schedule_actions.run, "schedule-run"),
    _page("schedules/<int:schedule_id>/pause/", schedule_actions.pause, "schedule-pause"),
    _page("schedules/<int:schedule_id>/resume/", schedule_actions.resume, "schedule-resume"),
    _page("schedules/<int:schedule_id>/skip/", schedule_actions.skip, "schedule-skip"),
    _page("schedules/<int:schedule_id>/backfill/", schedule_actions.backfill, "schedule-backfill"),
    _page(
        "schedules/<int:schedule_id>/backfill/preview/",
        schedule_actions.preview_backfill,
        "schedule-backfill-preview",
    ),
    _page(
        "schedules/<int:schedule_id>/backfill/<int:operation_id>/cancel/",
        schedule_actions.cancel_backfill,
        "schedule-backfill-cancel",
    ),
    _page("schedules/<int:schedule_id>/delete/", schedule_actions.delete, "schedule-delete"),
    _page("workers/", worker_list.worker_list, "workers"),
    _page("workers/<uuid:worker_id>/drain/", workers.drain, "worker-drain"),
    _page("workers/<uuid:worker_id>/undrain/", workers.undrain, "worker-undrain"),
    _page("workers/<uuid:worker_id>/stop/", workers.stop, "worker-stop"),
    _page("workers/<uuid:worker_id>/kill/", workers.kill, "worker-kill"),
    _page("pools/<str:name>/scale/", pools.scale, "pool-scale"),
    _page("pools/<str:name>/scale/<int:count>/", pools.scale, "pool-scale"),
    _page("login/", login.login, "login"),
    _page("logout/", login.logout, "logout"),
    path("healthz", healthz, name="health"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("api/", include("taskmaster.taskmaster_site.api")),
    path("ws/tasks/<int:task_id>/console/", needs_websocket, name="console"),
    re_path(r"^shards/(?P<name>[^/]*)/(?P<rest>api/.*|metrics)$", shards.read, name="shard"),
]
