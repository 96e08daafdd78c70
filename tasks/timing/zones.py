"""Load time zones from the package tzdata, and suggest names for unknown ones.

The files of the operating system are not used: slim images have none, and two hosts with different
versions would disagree about a due time.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.options import short_text
from taskmaster.tasks.timing.rules import MAX_ZONE

#: The sign of these names is the opposite of the usual one, so they are not suggested.
_INVERTED = "Etc/GMT"


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones."""
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split())


@cache
def _load(name: str) -> ZoneInfo:
    with resources.files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone_of(name: object, field: str = "timezone") -> ZoneInfo:
    """Return the time zone with this name. Raise InvalidField with the closest names."""
    text = short_text(name, field, MAX_ZONE)
    if text in zone_names():
        return _load(text)
    similar = closest_names(text)
    hint = (
        f"did you mean {', '.join(similar)}?"
        if similar
        else "use a name such as Europe/Berlin, America/New_York or UTC."
    )
    raise InvalidField(field, f"{text!r} is not a time zone of the IANA database; {hint}")


def closest_names(text: str, most: int = 3) -> list[str]:
    """Return the names that are most like `text`: by the whole name, and by the city alone."""
    wanted = text.strip().replace(" ", "_").lower()
    by_key: dict[str, str] = {}
    for name in sorted(zone_names()):
        if not name.startswith(_INVERTED):
            by_key.setdefault(name.rsplit("/", 1)[-1].lower(), name)
            by_key[name.lower()] = name
    if wanted in by_key:
        return [by_key[wanted]]
    keys = difflib.get_close_matches(wanted, by_key, n=most * 2, cutoff=0.75)
    return list(dict.fromkeys(by_key[key] for key in keys))[:most]
