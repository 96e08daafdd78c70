"""Test that the head of every SQL file has a fixed form, and names the modules that call it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Packages with statements, and packages that may call them.
STORES = ("tasks", "workers", "coordinator")
PACKAGES = (*STORES, "taskmaster_site", "taskmaster/management")
FILES = sorted(path for package in STORES for path in ROOT.glob(f"{package}/sql/*.sql"))
#: The parts of a head, in this order. `Guard` and `Index` may be left out.
PARTS = ("Purpose: ", "Guard: ", "Index: ", "Called by ")
#: A dotted name, without a full stop at the end of the sentence.
MODULE = re.compile(r"taskmaster(?:\.[a-z_]+)+")


def head(path: Path) -> list[str]:
    """Return the lines of the comment above the statement."""
    lines = path.read_text().splitlines()
    end = next(index for index, line in enumerate(lines) if not line.startswith("--"))
    return [line.removeprefix("--").strip() for line in lines[:end]]


@cache
def modules() -> list[tuple[str, ast.Module]]:
    """Return name and syntax tree of every module that may call a statement."""
    return [
        (module_name(path), ast.parse(path.read_text()))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return f"taskmaster.{name.removeprefix('taskmaster.').removesuffix('.__init__')}"


def is_store(module: str) -> bool:
    return bool(re.match(r"taskmaster\.[a-z]+\.store\b", module))


def functions(tree: ast.Module) -> set[str]:
    """Return the public functions of a module. One named after a statement runs only that one."""
    statements = {path.stem for path in FILES}
    found = set()
    for each in tree.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name[0] != "_":
            texts = {node.value for node in ast.walk(each) if isinstance(node, ast.Constant)}
            assert texts & statements == {each.name} & statements, each.name
            found.add(each.name)
    return found


@cache
def store_functions() -> dict[str, set[str]]:
    """Return the functions of every store, by module."""
    return {name: functions(tree) for name, tree in modules() if is_store(name)}


def used(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Return (store module, function) for each function of a store that a module uses."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                full = f"{node.module}.{each.name}"
                if full in store_functions():
                    aliases[each.asname or each.name] = full
                elif each.name in store_functions().get(node.module, ()):
                    yield node.module, each.name
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and node.attr in store_functions()[aliases[node.value.id]]
        ):
            yield aliases[node.value.id], node.attr


@cache
def callers() -> dict[tuple[str, str], set[str]]:
    """Return the modules that call the function of a statement, by (package, statement)."""
    found = defaultdict(set)
    for module, tree in modules():
        if not is_store(module):
            for store, function in used(tree):
                found[store.split(".")[1], function].add(module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_head_has_its_parts_in_order(path: Path) -> None:
    lines = head(path)
    found = [part for line in lines for part in PARTS if line.startswith(part)]
    assert lines[0].startswith("Purpose: "), lines
    assert found[-1] == "Called by ", lines
    assert found == sorted(found, key=PARTS.index), lines
    assert all(found.count(part) <= 1 for part in PARTS[:-1]), lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_head_names_exactly_the_modules_that_call_its_statement(path: Path) -> None:
    package, name = path.parts[-3], path.stem
    stores = {each.split(".")[1] for each, names in store_functions().items() if name in names}
    assert package in stores, "no function of the store has this name"
    named = MODULE.findall(" ".join(head(path)).partition("Called by ")[2])
    assert len(named) == len(set(named)), named
    assert set(named) == callers()[package, name]


def test_every_function_of_a_store_is_that_of_a_statement() -> None:
    statements = {(path.parts[-3], path.stem) for path in FILES}
    for module, names in store_functions().items():
        if not module.endswith(".parameters"):
            assert {(module.split(".")[1], name) for name in names - {"lock_key"}} <= statements
