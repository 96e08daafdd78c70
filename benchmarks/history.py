"""Measure the server's time for each page, with a history of ten million finished tasks."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from statistics import median

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from rest_framework.authtoken.models import Token

from benchmarks import fleet
from benchmarks.report import Figure

ROWS = 10_000_000
#: Rows per statement; smaller steps keep the WAL small.
_STEP = 1_000_000
_REQUESTS = 9
#: The limit for dashboard and task list, in milliseconds.
LIMIT_MS = 200.0
#: The pages, and whether each must meet the limit.
PAGES = {
    "dashboard": ("/", True),
    "tasks, all": ("/tasks/", True),
    "tasks, failed": ("/tasks/?status=failed", True),
    "tasks, search that finds nothing": ("/tasks/?q=nowhere", False),
    "admin, all tasks": ("/admin/taskmaster_tasks/task/", True),
    "admin, complete": ("/admin/taskmaster_tasks/task/?status=complete", True),
    "admin, failed": ("/admin/taskmaster_tasks/task/?status=failed", True),
    "admin, pending": ("/admin/taskmaster_tasks/task/?status=pending", True),
    "admin, created within a day": ("/admin/taskmaster_tasks/task/?created=86400", True),
    "admin, last page": ("/admin/taskmaster_tasks/task/?p=2000", True),
    "admin, search that finds nothing": ("/admin/taskmaster_tasks/task/?q=nowhere", False),
    "REST, all tasks": ("/api/tasks/", True),
    "REST, failed": ("/api/tasks/?status=failed", True),
    "REST, search that finds nothing": ("/api/tasks/?q=nowhere", False),
    "REST, figures": ("/api/stats/", True),
}
_HISTORY = """
INSERT INTO taskmaster_tasks_task (
    name, args, kwargs, queue, status, tags, max_attempts, timeout_s, attempt, lease, worker,
    created_at, scheduled_at, picked_at, started_at, completed_at, failed_at, cancelled_at
)
SELECT
    (ARRAY['shop.mail.send', 'shop.images.resize', 'shop.reports.build'])[1 + n %% 3],
    json_build_array(n),
    json_build_object('customer', 'c-' || n %% 100000),
    (ARRAY['default', 'mail', 'images', 'reports'])[1 + n %% 4],
    kind.status,
    ARRAY['nightly'],
    3, 3600, 1, 1,
    'worker-' || n %% 8,
    made.at, made.at,
    CASE WHEN kind.status <> 'cancelled' THEN made.at END,
    CASE WHEN kind.status <> 'cancelled' THEN made.at END,
    CASE WHEN kind.status = 'complete' THEN made.at + interval '1 second' END,
    CASE WHEN kind.status = 'failed' THEN made.at + interval '1 second' END,
    CASE WHEN kind.status = 'cancelled' THEN made.at + interval '1 second' END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN n %% 100 = 0 THEN 'failed'
        WHEN n %% 500 = 1 THEN 'cancelled'
        ELSE 'complete'
    END
) AS kind (status)
CROSS JOIN LATERAL (
    SELECT now() - (%(rows)s::bigint - n) * interval '0.2 seconds'
) AS made (at)
"""
_TOTALS = """
UPDATE taskmaster_tasks_statistic SET
    complete = (SELECT count(*) FROM taskmaster_tasks_task WHERE status = 'complete'),
    failed = (SELECT count(*) FROM taskmaster_tasks_task WHERE status = 'failed'),
    cancelled = (SELECT count(*) FROM taskmaster_tasks_task WHERE status = 'cancelled')
WHERE at < '2001-01-01'
"""


def fill(rows: int) -> None:
    """Insert finished tasks, as in a database after weeks of work."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE taskmaster_tasks_task RESTART IDENTITY")
        for first in range(1, rows + 1, _STEP):
            last = min(first + _STEP - 1, rows)
            cursor.execute(_HISTORY, {"first": first, "last": last, "rows": rows})
        cursor.execute(_TOTALS)
        cursor.execute("VACUUM (ANALYZE) taskmaster_tasks_task")


def measure(rows: int = ROWS) -> list[Figure]:
    """Return a figure for each page, with an idle coordinator and two idle workers."""
    fill(rows)
    with fleet.running(), fleet.web() as (address, _):
        headers = _headers()
        figures = [_figure(name, address, headers, rows) for name in PAGES]
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE taskmaster_tasks_task")
    return figures


def _headers() -> Mapping[str, str]:
    user = User.objects.create_superuser("historian")
    client = Client()
    client.force_login(user)
    token = Token.objects.create(user=user)
    session = client.cookies["sessionid"].value
    return {"Cookie": f"sessionid={session}", "Authorization": f"Token {token.key}"}


def _figure(name: str, address: str, headers: Mapping[str, str], rows: int) -> Figure:
    path, has_limit = PAGES[name]
    _read(address + path, headers)
    ms = median(_read(address + path, headers) for _ in range(_REQUESTS))
    return Figure(
        f"history: {name}",
        ms,
        "ms",
        f"GET {path} over HTTP from daphne, median of {_REQUESTS} requests after one more, "
        f"{rows:,} finished tasks, one coordinator, two idle workers",
        target=f"≤ {LIMIT_MS:.0f} ms" if has_limit else "",
        passed=ms <= LIMIT_MS or not has_limit,
    )


def _read(url: str, headers: Mapping[str, str]) -> float:
    """Return the milliseconds until the complete response. Raise OSError unless it is a 200."""
    request = urllib.request.Request(url, headers=dict(headers))
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()
        # A redirect means: not logged in, or the page does not exist.
        assert answer.url == url, answer.url
    return (time.perf_counter() - began) * 1_000
