"""Route the endpoints of workers and pools below /api/."""

from django.urls import path

from taskmaster.workers.api import pools, views

urlpatterns = [
    path("workers/", views.WorkersView.as_view(), name="workers"),
    path("workers/scale/", pools.ScaleView.as_view(), name="scale"),
    # Serves the path without the slash, too, because a POST request cannot be redirected.
    path("workers/scale", pools.ScaleView.as_view(schema=None)),
    path("pools/", pools.PoolsView.as_view(), name="pools"),
    path("pools/<str:name>/", pools.PoolView.as_view(), name="pool"),
    path("workers/<uuid:worker_id>/", views.WorkerView.as_view(), name="worker"),
    path("workers/<uuid:worker_id>/drain/", views.DrainView.as_view(), name="drain"),
    path("workers/<uuid:worker_id>/undrain/", views.UndrainView.as_view(), name="undrain"),
    path("workers/<uuid:worker_id>/stop/", views.StopView.as_view(), name="stop"),
    path("workers/<uuid:worker_id>/kill/", views.KillView.as_view(), name="kill"),
]
