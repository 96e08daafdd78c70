"""Every URL of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from taskmaster_site import pages
from taskmaster_site.health import healthz

# The header has the ways; the lists need the room.
admin.site.enable_nav_sidebar = False

urlpatterns = [
    path("", pages.dashboard, name="dashboard"),
    path("healthz", healthz),
    path("api/", include("taskmaster_site.api")),
    path("admin/", admin.site.urls),
]
handler500 = "taskmaster_site.pages.server_error"
