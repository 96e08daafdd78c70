"""Test that version ranges and locks agree with pyproject.toml, the only source of ranges."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from taskmaster.tasks.extras import EXTRAS as IMPORTED
from tests.packaging.distributions import EXTRAS, NAME, PROJECT, ROOT, declared, direct, locked

LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-next.txt")


def _named_in(source: str) -> list[str]:
    lines = (ROOT / source).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-"))]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_the_metadata(lock: str) -> None:
    pins = locked(lock)
    for each in declared():
        version = pins.get(canonicalize_name(each.name))
        assert version is not None, f"{lock} lacks {each.name}; run `make lock`"
        assert each.specifier.contains(version), f"{lock} has {each.name} {version}, not {each}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_does_not_install_the_checkout(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert NAME not in locked(lock)
    assert not re.search(r"^(-e|\.|file:|[\w-]+ @)", text, re.M)


def test_the_checkout_is_locked_with_every_extra() -> None:
    [itself] = [line for line in _named_in("requirements.in") if line.startswith(".")]
    extras = Requirement(f"{NAME}{itself[1:]}").extras
    named = {each.name for extra in extras for each in direct(extra)}
    assert named == {each.name for extra in EXTRAS for each in direct(extra)}


def test_no_version_range_is_duplicated() -> None:
    ours = {canonicalize_name(each.name) for each in declared()}
    others = [line for line in _named_in("requirements.in") if not line.startswith(".")]
    others += _named_in("requirements-dev.in")
    assert ours.isdisjoint(canonicalize_name(Requirement(each).name) for each in others)


def test_django_tasks_is_required_whatever_the_version_of_python() -> None:
    [it] = [each for each in map(Requirement, PROJECT["dependencies"]) if "tasks" in each.name]
    assert it.marker is None


@pytest.mark.parametrize("extra", sorted(IMPORTED))
def test_a_command_requires_what_its_extra_installs(extra: str) -> None:
    asked, installed = set(IMPORTED[extra]), {each.name for each in direct(extra)}
    # A worker can use asyncio's own loop instead.
    assert installed - asked == ({"uvloop"} if extra == "worker" else set())
    assert asked <= installed
