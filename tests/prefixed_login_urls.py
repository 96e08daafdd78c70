"""TaskMaster's URLs below a prefix, in a project with a login page at Django's default URL."""

from django.contrib.auth.views import LoginView
from django.urls import path

from tests import prefixed_urls

urlpatterns = [*prefixed_urls.urlpatterns, path("accounts/login/", LoginView.as_view())]
