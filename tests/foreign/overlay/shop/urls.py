from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path
from rest_framework.response import Response
from rest_framework.views import APIView


class Prices(APIView):
    """The shop's own API with the shop's own settings."""

    def get(self, request):
        return Response({"price": 5})


urlpatterns = [
    path("", lambda request: HttpResponse("the shop"), name="dashboard"),
    path("backoffice/", admin.site.urls),
    path("ops/taskmaster/", include("taskmaster.urls")),
    path("prices/", Prices.as_view(), name="task"),
]
