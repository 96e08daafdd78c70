"""Test the message about an extra that is not installed."""

from __future__ import annotations

import pytest

from taskmaster.tasks import extras
from taskmaster.tasks.extras import MissingExtra, require_extra
from taskmaster.workers.pools.provider import ProviderMissing
from taskmaster.workers.pools.providers import load_provider


@pytest.fixture
def _some_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"django": "django", "no-such-thing": "no_such.thing", "nor-this": "nor_this"}
    monkeypatch.setattr(extras, "EXTRAS", {"server": wanted})


@pytest.mark.usefixtures("_some_are_missing")
def test_the_first_missing_package_and_its_extra_are_named() -> None:
    with pytest.raises(MissingExtra) as refusal:
        require_extra("server", "runcoordinator")
    assert str(refusal.value) == (
        "runcoordinator needs no-such-thing, which is not installed. "
        "Install django-taskmaster[server]."
    )


@pytest.mark.usefixtures("_some_are_missing")
def test_a_feature_can_need_a_part_of_an_extra() -> None:
    require_extra("server", "a feature", "django")
    with pytest.raises(MissingExtra, match="a feature needs nor-this,"):
        require_extra("server", "a feature", "nor-this")


@pytest.mark.parametrize("extra", sorted(extras.EXTRAS))
def test_every_extra_is_installed_in_the_test_environment(extra: str) -> None:
    require_extra(extra, "this suite")


def test_a_provider_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(ProviderMissing, match=r"Install django-taskmaster\[kubernetes\]\.$"):
        load_provider("kubernetes")
    load_provider("compose")
