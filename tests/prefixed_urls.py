"""TaskMaster's URLs below a prefix, in a project without an admin and without a login page."""

from django.urls import include, path

urlpatterns = [path("ops/", include("taskmaster.urls"))]
