"""Test that time zones come from the package, and that unknown names are refused."""

from __future__ import annotations

import zoneinfo

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.timing.zones import zone_names, zone_of


def test_every_name_of_the_package_is_a_zone() -> None:
    assert {"Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires"} <= zone_names()
    assert all(zone_of(name).key == name for name in zone_names())


def test_zones_do_not_come_from_files_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("The search path of zoneinfo was used.")

    monkeypatch.setattr(zoneinfo._common, "load_tzdata", refuse)  # type: ignore[attr-defined]
    monkeypatch.setattr(zoneinfo._tzpath, "find_tzfile", refuse)  # type: ignore[attr-defined]
    assert zone_of("Pacific/Chatham").key == "Pacific/Chatham"


def test_a_zone_is_loaded_once() -> None:
    assert zone_of("Europe/Berlin") is zone_of("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("Amerika/New_York", "did you mean America/New_York"),
        ("Nowhere", "use a name such as Europe/Berlin, America/New_York or UTC."),
        ("Europe", "use a name such as"),
        ("../../etc/passwd", "use a name such as"),
        ("/usr/share/zoneinfo/UTC", "'/usr/share/zoneinfo/UTC' is not a time zone"),
        ("posix/UTC", "'posix/UTC' is not a time zone"),
        ("localtime", "'localtime' is not a time zone"),
        ("GMT+2x", "'GMT+2x' is not a time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_closest_names(name: str, hint: str) -> None:
    with pytest.raises(InvalidField) as refused:
        zone_of(name)
    assert refused.value.field == "timezone"
    assert f"{name!r} is not a time zone of the IANA database" in refused.value.rule
    assert hint in refused.value.rule
    assert "Etc/GMT" not in refused.value.rule


@pytest.mark.parametrize("name", ["", "x" * 65, "\0", 5, None, ["UTC"]])
def test_a_zone_must_be_a_short_string(name: object) -> None:
    with pytest.raises(InvalidField):
        zone_of(name)
