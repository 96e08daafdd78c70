"""Read what pyproject.toml and the locks declare, and what is installed here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
NAME = "django-taskmaster"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def direct(extra: str) -> list[Requirement]:
    """Return the requirements of an extra, including those of the extras that it includes."""
    found = []
    for each in map(Requirement, EXTRAS[extra]):
        if each.name == NAME:
            found += [one for included in sorted(each.extras) for one in direct(included)]
        else:
            found.append(each)
    return found


def declared() -> list[Requirement]:
    """Return every requirement of the base and of all extras."""
    return [
        *map(Requirement, PROJECT["dependencies"]),
        *(each for extra in EXTRAS for each in direct(extra)),
    ]


def locked(lock: str) -> dict[str, str]:
    """Return the version of each distribution in a lock."""
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", (ROOT / lock).read_text(), re.M)
    return {canonicalize_name(name): version for name, version in pins}


def modules_outside_the_base() -> set[str]:
    """Return the top-level modules here that `pip install django-taskmaster` does not install."""
    base = _closure(map(Requirement, PROJECT["dependencies"]))
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if base.isdisjoint(map(canonicalize_name, owners))
    }


def _closure(requirements: Iterable[Requirement]) -> set[str]:
    found: set[str] = set()
    # Name and extra; the extra is empty for the distribution itself.
    todo = [(canonicalize_name(each.name), {"", *each.extras}) for each in requirements]
    seen: set[tuple[str, str]] = set()
    while todo:
        name, extras = todo.pop()
        found.add(name)
        for extra in extras - {extra for other, extra in seen if other == name}:
            seen.add((name, extra))
            for each in map(Requirement, metadata.requires(name) or ()):
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    todo.append((canonicalize_name(each.name), {"", *each.extras}))
    return found
