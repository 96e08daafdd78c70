"""Route the URLs of tasks, operations and streams below /api/."""

from django.urls import path, re_path

from taskmaster.tasks.api import live, operations, streams, views

#: Pattern of an id, which has at most 19 digits. Other URLs get 404.
_ID = r"^tasks/(?P<task_id>[0-9]{1,19})/"
_OPERATION = r"^operations/(?P<operation_id>[0-9]{1,19})/"

urlpatterns = [
    path("tasks/", views.TasksView.as_view(), name="tasks"),
    path("tasks/bulk/", views.BulkView.as_view(), name="bulk"),
    path("tasks/retry/", views.RetryManyView.as_view(), name="retry-many"),
    re_path(_ID + "$", views.TaskView.as_view(), name="task"),
    re_path(_ID + "output/$", views.OutputView.as_view(), name="output"),
    re_path(_ID + "cancel/$", views.CancelView.as_view(), name="cancel"),
    re_path(_ID + "retry/$", views.RetryView.as_view(), name="retry"),
    re_path(_ID + "events/$", streams.TaskStreamView.as_view(), name="task-events"),
    path("operations/", operations.OperationsView.as_view(), name="operations"),
    re_path(_OPERATION + "$", operations.OperationView.as_view(), name="operation"),
    re_path(
        _OPERATION + "confirm/$",
        operations.ConfirmOperationView.as_view(),
        name="operation-confirm",
    ),
    re_path(
        _OPERATION + "cancel/$", operations.CancelOperationView.as_view(), name="operation-cancel"
    ),
    path("logs/stream", streams.LogStreamView.as_view(), name="stream"),
    path("events/", live.EventsView.as_view(), name="events"),
    path("stats/", live.StatsView.as_view(), name="stats"),
]
