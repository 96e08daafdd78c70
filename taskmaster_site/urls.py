"""Every URL of the site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from taskmaster_site.health import healthz

urlpatterns = [
    path("healthz", healthz),
    path("admin/", admin.site.urls),
]
