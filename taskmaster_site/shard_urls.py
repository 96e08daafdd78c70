"""Hold TaskMaster's URLs without a prefix, to resolve and reverse the URLs of a shard's API."""

from django.urls import include, path

urlpatterns = [path("", include("taskmaster.urls"))]
