"""Every URL of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from taskmaster_site.health import healthz
from taskmaster_site.metrics import MetricsView
from taskmaster_site.pages import create, dashboard, pools, task, workers

# The header has the ways; the lists need the room.
admin.site.enable_nav_sidebar = False

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("tasks/", dashboard.table, name="task-table"),
    path("tasks/<int:task_id>/", task.task, name="task"),
    path("tasks/<int:task_id>/cancel/", task.cancel, name="task-cancel"),
    path("tasks/<int:task_id>/retry/", task.retry, name="task-retry"),
    path("create/", create.create, name="create"),
    path("workers/<uuid:worker_id>/drain/", workers.drain, name="worker-drain"),
    path("workers/<uuid:worker_id>/undrain/", workers.undrain, name="worker-undrain"),
    path("workers/<uuid:worker_id>/stop/", workers.stop, name="worker-stop"),
    path("workers/<uuid:worker_id>/kill/", workers.kill, name="worker-kill"),
    path("pools/<str:name>/scale/", pools.scale, name="pool-scale"),
    path("pools/<str:name>/scale/<int:count>/", pools.scale, name="pool-scale"),
    path("healthz", healthz),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("api/", include("taskmaster_site.api")),
    path("admin/", admin.site.urls),
]
handler500 = "taskmaster_site.pages.errors.server_error"
