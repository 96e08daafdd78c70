"""Test that arguments and results keep type, value and order, whatever interface they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskmaster.tasks import registry
from taskmaster.tasks.json_rules import fault
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import RunTask, Succeeded
from tests.property.caller import MODULE, NAME, Caller

pytestmark = pytest.mark.django_db

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


SUBMITTED: list[Callable[[Caller, list[Any], dict[str, Any]], int]] = [
    Caller.by_enqueue,
    Caller.by_bulk,
    Caller.by_rest,
    Caller.by_rest_bulk,
    Caller.by_grpc,
    Caller.by_grpc_bulk,
    Caller.by_command_line,
    Caller.by_admin,
    Caller.by_form,
]


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", MODULE)
    registry.load.cache_clear()
    yield Caller()
    monkeypatch.undo()
    registry.load.cache_clear()


def _execute(task_id: int) -> None:
    """Execute the stored task as a child does, and store its result as a coordinator does."""
    with connection.cursor() as cursor:
        call = "SELECT args::text, kwargs::text FROM taskmaster_tasks_task WHERE id = %s"
        cursor.execute(call, [task_id])
        args, kwargs = cursor.fetchone()
        report = TaskRunner("heron").run(
            RunTask(task_id, NAME, args, kwargs, task_id, 1, 0, "default", 0)
        )
        assert isinstance(report, Succeeded), report
        assert fault(report.result, 1_000_000) is None
        cursor.execute(
            "UPDATE taskmaster_tasks_task SET status = 'complete', result = %s::json WHERE id = %s",
            [report.result or None, task_id],
        )


@pytest.mark.parametrize("submit", SUBMITTED, ids=lambda each: each.__name__.removeprefix("by_"))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=values, keyword=st.booleans())
@example(value=[1e16, -0.0, 1e300, 10**400, {"zeta": 1, "alpha": 2}], keyword=True)
@example(value={"b": {"\u2028": "</pre>&lt;\\u0000\x7f"}, "a": True, "": 1.0}, keyword=False)
def test_what_goes_in_comes_out(
    caller: Caller,
    submit: Callable[[Caller, list[Any], dict[str, Any]], int],
    value: object,
    keyword: bool,
) -> None:
    args, kwargs = ([], {"value": value}) if keyword else ([value], {})
    with transaction.atomic():
        task_id = submit(caller, args, kwargs)
        _execute(task_id)
        # The representation tells 1 from 1.0 and True, 0.0 from -0.0, and orders of keys apart.
        expected = repr([args, kwargs, value])
        for interface, shown in caller.shown(task_id):
            assert repr(shown) == expected, interface
        transaction.set_rollback(True)
