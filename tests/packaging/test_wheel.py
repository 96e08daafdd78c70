"""Test the sdist and the wheel: complete, without other files, and usable from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import taskmaster
from tests.packaging.distributions import EXTRAS, NAME, ROOT

#: Folders that Python and tools create.
_TOOL_FOLDERS = ("__pycache__", ".mypy_cache", ".ruff_cache")


@dataclass(frozen=True)
class Built:
    sdist: Path
    #: Built from the sdist, like `make wheel`.
    wheel: Path
    #: Built directly from the checkout.
    checkout_wheel: Path


def _run(*arguments: str, **options: object) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build without isolation, so that nothing is downloaded."""
    made, direct = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("direct")
    _run("-m", "build", "--no-isolation", "--outdir", str(made), str(ROOT))
    _run("-m", "build", "--no-isolation", "--wheel", "--outdir", str(direct), str(ROOT))
    [sdist], [wheel], [other] = made.glob("*.tar.gz"), made.glob("*.whl"), direct.glob("*.whl")
    return Built(sdist, wheel, other)


def _content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _package_files() -> Iterator[tuple[str, Path]]:
    """Yield every file below taskmaster/, through its links."""
    for folder, folders, files in os.walk(ROOT / "taskmaster", followlinks=True):
        folders[:] = [each for each in folders if each not in _TOOL_FOLDERS]
        for file in files:
            path = Path(folder, file)
            yield path.relative_to(ROOT).as_posix(), path


def _metadata(wheel: Path) -> Message:
    [found] = [content for name, content in _content(wheel).items() if name.endswith("/METADATA")]
    return message_from_bytes(found)


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_checkout(built: Built) -> None:
    assert _content(built.wheel) == _content(built.checkout_wheel)


def test_the_wheel_has_the_whole_package_and_nothing_else(built: Built) -> None:
    files = {
        name: content
        for name, content in _content(built.wheel).items()
        if ".dist-info/" not in name
    }
    assert files == {name: path.read_bytes() for name, path in _package_files()}
    assert {name.partition("/")[0] for name in files} == {"taskmaster"}


def test_the_wheel_has_more_than_python(built: Built) -> None:
    names = set(_content(built.wheel))
    assert {
        "taskmaster/py.typed",
        "taskmaster/proto/taskmaster.proto",
        "taskmaster/proto/taskmaster_pb2.pyi",
        "taskmaster/tasks/sql/claim_tasks.sql",
        "taskmaster/workers/sql/register_worker.sql",
        "taskmaster/coordinator/sql/try_leader_lock.sql",
        "taskmaster/templates/taskmaster/dashboard.html",
        "taskmaster/taskmaster_site/templates/404.html",
        "taskmaster/static/taskmaster/dashboard.js",
        "taskmaster/static/taskmaster/vendor/htmx.min.js",
        "taskmaster/static/taskmaster/vendor/xterm.mjs",
        "taskmaster/tasks/migrations/0001_initial.py",
    } <= names


def test_the_sdist_has_the_package_and_its_documents(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        assert all(each.isfile() for each in archive)
        names = {name.partition("/")[2] for name in archive.getnames()}
    documents = {"CHANGELOG.md", "LICENSE", "README.md", "PKG-INFO", "pyproject.toml", ".gitignore"}
    assert names == documents | {name for name, _ in _package_files()}


def test_the_metadata_has_name_version_licence_and_extras(built: Built) -> None:
    found = _metadata(built.wheel)
    assert (found["Name"], found["Version"]) == (NAME, taskmaster.__version__)
    assert (found["License-Expression"], found["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert set(found.get_all("Provides-Extra", ())) == set(EXTRAS)
    assert "A distributed task scheduler for Django teams" in str(found.get_payload())


def test_the_installed_wheel_is_imported_instead_of_the_checkout(
    built: Built, tmp_path: Path
) -> None:
    target = tmp_path / "library"
    _run(
        *("-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile"),
        *("--no-deps", "--no-index"),
        *("--target", str(target), str(built.wheel)),
    )
    program = (
        "import importlib, pathlib, sys\n"
        "import django\n"
        "django.setup()\n"
        "for name in sys.stdin.read().split():\n"
        "    print(importlib.import_module(name).__file__)\n"
    )
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, _ in _package_files()
        if name.endswith(".py") and "__main__" not in name
    ]
    printed = _run(
        "-P",
        "-c",
        program,
        input="\n".join(modules),
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(target),
            "DJANGO_SETTINGS_MODULE": "taskmaster.taskmaster_site.settings",
            "TASKMASTER_TASK_MODULES": "taskmaster.tasks.compat",
        },
    )
    files = [Path(line).relative_to(target).as_posix() for line in printed.splitlines()]
    assert sorted(files) == sorted(
        name for name, _ in _package_files() if name.endswith(".py") and "__main__" not in name
    )
