"""Test that only the statements of `tasks/sql/` write tasks, and only the stores run them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps

from taskmaster.tasks.lifecycle import Transition

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("tasks", "workers", "coordinator", "taskmaster_site", "taskmaster/management")
_TABLE = "taskmaster_tasks_task"
_WRITE = re.compile(rf"\b(UPDATE|INSERT\s+INTO|DELETE\s+FROM|COPY)\s+(?:ONLY\s+)?{_TABLE}\b")
_STORE = re.compile(r"(tasks|workers)/store/\w+\.py|coordinator/store\.py")
#: ORM calls that write rows.
_ORM = {"update", "create", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Return path and syntax tree of every module of the product."""
    return [
        (str(path.relative_to(ROOT)), ast.parse(path.read_text()))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def written(verb: str) -> set[str]:
    """Return the SQL files that write tasks with this verb."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.sql")
        if verb in {" ".join(each.split()) for each in _WRITE.findall(path.read_text())}
    }


def test_only_the_stores_read_statements() -> None:
    for path, tree in sources():
        if path != "tasks/statements.py" and not _STORE.fullmatch(path):
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            imported = {
                each.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "taskmaster.tasks.statements"
                for each in node.names
            }
            assert "statement" not in imported & names, path


def test_each_statement_that_updates_tasks_is_a_transition() -> None:
    # A start has a second statement.
    names = {*Transition, "adopt_attempts"}
    assert written("UPDATE") == {f"tasks/sql/{name}.sql" for name in names}
    assert written("INSERT INTO") == {
        "tasks/sql/insert_task.sql",
        "tasks/sql/create_schedule_runs.sql",
        "tasks/sql/insert_schedule_runs.sql",
        "tasks/sql/start_queued_runs.sql",
    }
    assert written("COPY") == {"tasks/sql/copy_tasks.sql"}
    assert written("DELETE FROM") == {"tasks/sql/delete_tasks.sql", "tasks/sql/prune_tasks.sql"}


def test_no_module_writes_tasks_by_sql() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not _WRITE.search(node.value), (path, node.lineno)


def test_no_module_writes_a_status_by_the_orm() -> None:
    for path, tree in sources():
        assert not list(status_writes(tree)), path


@pytest.mark.parametrize(
    "text",
    [
        "Task.objects.filter(pk=1).update(status='failed')",
        "Task.objects.create(name='shell')",
        "Task.objects.using(x).filter(a=1).delete()",
        "task.status = 'failed'",
        "task.save(update_fields=['status'])",
    ],
)
def test_the_check_finds_what_it_forbids(text: str) -> None:
    assert list(status_writes(ast.parse(text)))


def test_no_other_model_has_the_name_of_the_check() -> None:
    """Test that `Task` is unique, since the check identifies the model by name."""
    assert [model.__module__ for model in apps.get_models() if model.__name__ == "Task"] == [
        "taskmaster.tasks.models.task"
    ]


def status_writes(tree: ast.Module) -> Iterator[int]:
    """Return the lines that write a task, or the status of any row, by the ORM."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            # `self.status` is an attribute of a class that is not a model.
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            if node.attr == "status" and not own:
                yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, keywords = node.func.attr, {each.arg for each in node.keywords}
            of_task = _root(node.func) == "Task"
            if (
                (name == "update" and "status" in keywords)
                or (of_task and name in {*_ORM, "delete"})
                or (name == "save" and "'status'" in ast.unparse(node))
            ):
                yield node.lineno


def _root(node: ast.expr) -> str | None:
    """Return the name at the start of a chain of attributes and calls."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None
