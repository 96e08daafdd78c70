"""TaskMaster's URLs below an extra namespace, in which its links cannot be reversed."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("ops/", include(([path("tm/", include("taskmaster.urls"))], "ops"))),
]
