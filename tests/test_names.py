"""Test names that no compiler checks: tables in SQL, permissions, URL names, template folders."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.management import _get_all_permissions
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("taskmaster_tasks", "taskmaster_workers", "taskmaster_coordinator")
#: The name of a table follows these keywords.
TABLE = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|COPY|ONLY)\s+([a-z_]+)\b(?!\s*[(.])")
#: A name that the statement defines itself.
OWN = re.compile(r"\b([a-z_]+)(?:\s*\([^()]*\))?\s+AS\s+(?:MATERIALIZED\s+|NOT MATERIALIZED\s+)?\(")
CATALOGUE = re.compile(r"pg_\w+|unnest|generate_series|information_schema")


def files(*endings: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file of the project with such a suffix."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        path = ROOT / name
        if name.endswith(endings) and "vendor" not in name and path.is_file():
            yield name, path.read_text()


def models() -> list[type]:
    return [model for label in LABELS for model in apps.get_app_config(label).get_models()]


def test_every_table_in_sql_belongs_to_a_model() -> None:
    tables = {model._meta.db_table for model in models()}  # type: ignore[attr-defined]
    used: set[str] = set()
    for name, text in files(".sql"):
        statement = re.sub(r"--.*|EPOCH FROM", "", text)
        named = {each for each in TABLE.findall(statement) if not CATALOGUE.fullmatch(each)}
        own = {*OWN.findall(statement), "stdin", "set", "nothing"}
        unknown = {each for each in named - own if each not in tables and len(each) > 1}
        if not name.startswith("chaos/"):
            assert not unknown, (name, unknown)
        used |= named & tables
    assert {"taskmaster_tasks_task", "taskmaster_workers_worker"} <= used
    assert all(table.startswith("taskmaster_") for table in tables)


def test_every_index_and_constraint_has_the_name_of_the_product() -> None:
    names = {
        each.name
        for model in models()
        for each in (*model._meta.indexes, *model._meta.constraints)  # type: ignore[attr-defined]
    }
    assert {each for each in names if not each.startswith("taskmaster_")} == {
        "idx_tasks_scheduled_at"
    }


def test_every_permission_in_code_and_templates_exists() -> None:
    known = {
        f"{model._meta.app_label}.{codename}"  # type: ignore[attr-defined]
        for model in models()
        for codename, _ in _get_all_permissions(model._meta)  # type: ignore[attr-defined]
    }
    verbs = "add|change|delete|view|submit|kill|scale"
    mentioned = re.compile(rf"(?<![\w/])([a-z_]+)\.((?:{verbs})_[a-z]+)\b(?![(=])")
    found: set[str] = set()
    for name, text in files(".py", ".html", ".js", ".md", ".proto", ".yaml"):
        if name.startswith("tests/test_names"):
            continue
        for label, codename in mentioned.findall(text):
            if label in ("tasks", "workers", "coordinator") or label in LABELS:
                assert f"{label}.{codename}" in known, (name, f"{label}.{codename}")
                found.add(f"{label}.{codename}")
    assert {"taskmaster_tasks.view_task", "taskmaster_workers.scale_pool"} <= found


def test_every_url_name_in_code_and_templates_exists() -> None:
    known = set(_names(get_resolver(), ""))
    of_admin = {f"admin:{each.name}" for each in _patterns(admin.site.urls[0]) if each.name}
    mentioned = re.compile(r"(?:\(|% url )['\"]((?:taskmaster|admin|api):[a-z_:-]+[a-z])['\"]")
    found: set[str] = set()
    for name, text in files(".html", ".py"):
        if not name.startswith("tests/"):
            for address in mentioned.findall(text):
                assert address in known | of_admin, (name, address)
                found.add(address)
    assert {"taskmaster:dashboard", "admin:taskmaster_tasks_task_changelist"} <= found


def test_templates_of_the_admin_are_in_the_folders_of_their_apps() -> None:
    folder = ROOT / "templates" / "admin"
    kept = {(each.parent.name, each.name) for each in folder.glob("*/*/")}
    known = {(model._meta.app_label, model._meta.model_name) for model in models()}  # type: ignore[attr-defined]
    assert kept
    assert kept <= known


def test_no_template_of_the_app_overrides_a_project_s_own() -> None:
    outside = {
        str(each.relative_to(ROOT / "templates"))
        for each in (ROOT / "templates").rglob("*.html")
        if each.relative_to(ROOT / "templates").parts[0] != "taskmaster"
        and not each.relative_to(ROOT / "templates").parts[1].startswith("taskmaster_")
    }
    assert not outside
    assert {each.name for each in (ROOT / "static").iterdir()} == {"taskmaster"}


def _patterns(patterns: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns)
        else:
            yield each


def _names(resolver: URLResolver, space: str) -> Iterator[str]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from _names(each, space + (f"{each.namespace}:" if each.namespace else ""))
        elif each.name:
            yield f"{space}{each.name}"
