"""Where workers are found below /api/."""

from django.urls import path

from workers.api import views

urlpatterns = [
    path("workers/", views.WorkersView.as_view(), name="workers"),
    path("workers/<uuid:worker_id>/", views.WorkerView.as_view(), name="worker"),
    path("workers/<uuid:worker_id>/drain/", views.DrainView.as_view(), name="drain"),
    path("workers/<uuid:worker_id>/undrain/", views.UndrainView.as_view(), name="undrain"),
    path("workers/<uuid:worker_id>/stop/", views.StopView.as_view(), name="stop"),
    path("workers/<uuid:worker_id>/kill/", views.KillView.as_view(), name="kill"),
]
