"""Route the site: TaskMaster's URLs at the root, and the admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from taskmaster.taskmaster_site.pages.login import AdminLoginForm, admin_login

# The page header has the navigation, and the lists need the width.
admin.site.enable_nav_sidebar = False
admin.site.login_form = AdminLoginForm
admin.site.login = admin_login  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("taskmaster.urls")),
]
handler500 = "taskmaster.taskmaster_site.pages.responses.server_error"
