"""Test that every module is importable only as `taskmaster.…`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("coordinator", "proto", "taskmaster_site", "tasks", "workers")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_refuses_to_be_imported_under_its_bare_name(name: str) -> None:
    bare = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode == 1
    assert f"ImportError: {name} was imported as a top-level package; import" in bare.stderr


def test_the_package_folder_links_only_to_the_packages() -> None:
    links = {
        each.name: each.readlink() for each in (ROOT / "taskmaster").iterdir() if each.is_symlink()
    }
    assert links == {name: Path("..") / name for name in (*PACKAGES, "static", "templates")}


def test_the_package_has_the_decorator_and_no_other_attribute() -> None:
    import taskmaster
    from taskmaster.tasks import declaration

    assert taskmaster.task is declaration.task
    with pytest.raises(AttributeError, match="module 'taskmaster' has no attribute 'tusk'"):
        taskmaster.tusk  # noqa: B018


def test_no_package_sets_a_global_or_an_attribute_of_another() -> None:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            foreign = {
                each.asname or each.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                and str(node.module).startswith("taskmaster.")
                and not f"{node.module}.".startswith(f"taskmaster.{package}.")
                for each in node.names
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    owner = ast.unparse(node).partition(".")[0]
                    assert owner not in foreign, (path, node.lineno)
