"""Route the URLs of tasks, operations and streams below /api/."""

from django.urls import path, re_path

from taskmaster.tasks.api import (
    live,
    operations,
    pauses,
    schedule_actions,
    schedules,
    streams,
    views,
)

#: Pattern of an id, which has at most 19 digits. Other URLs get 404.
_ID = r"^tasks/(?P<task_id>[0-9]{1,19})/"
_OPERATION = r"^operations/(?P<operation_id>[0-9]{1,19})/"
_SCHEDULE = r"^schedules/(?P<schedule_id>[0-9]{1,19})/"

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
    path("pauses/", pauses.PausesView.as_view(), name="pauses"),
    re_path(r"^pauses/(?P<pause_id>[0-9]{1,19})/$", pauses.PauseView.as_view(), name="pause"),
    path("schedules/", schedules.SchedulesView.as_view(), name="schedules"),
    path("schedules/preview/", schedules.SchedulePreviewView.as_view(), name="schedule-preview"),
    path(
        "schedules/pause_all/", schedule_actions.PauseAllView.as_view(), name="schedules-pause-all"
    ),
    path(
        "schedules/resume_all/",
        schedule_actions.ResumeAllView.as_view(),
        name="schedules-resume-all",
    ),
    re_path(_SCHEDULE + "$", schedules.ScheduleView.as_view(), name="schedule"),
    re_path(
        _SCHEDULE + "preview/$",
        schedules.StoredPreviewView.as_view(),
        name="schedule-stored-preview",
    ),
    re_path(_SCHEDULE + "run/$", schedule_actions.RunScheduleView.as_view(), name="schedule-run"),
    re_path(
        _SCHEDULE + "pause/$", schedule_actions.PauseScheduleView.as_view(), name="schedule-pause"
    ),
    re_path(
        _SCHEDULE + "resume/$",
        schedule_actions.ResumeScheduleView.as_view(),
        name="schedule-resume",
    ),
    re_path(_SCHEDULE + "skip/$", schedule_actions.SkipRunView.as_view(), name="schedule-skip"),
    re_path(
        _SCHEDULE + "backfill/$", schedule_actions.BackfillView.as_view(), name="schedule-backfill"
    ),
    re_path(
        _SCHEDULE + "runs/$", schedule_actions.ScheduleRunsView.as_view(), name="schedule-runs"
    ),
    path("logs/stream", streams.LogStreamView.as_view(), name="stream"),
    path("events/", live.EventsView.as_view(), name="events"),
    path("stats/", live.StatsView.as_view(), name="stats"),
]
