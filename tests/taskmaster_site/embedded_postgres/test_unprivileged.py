"""Files of the server that root runs as another user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskmaster.taskmaster_site.embedded_postgres import unprivileged
from taskmaster.tasks.errors import ConfigurationError


def test_a_new_file_is_private_and_replaces_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "password"
    target.write_text("kept")
    link.symlink_to(target)
    unprivileged.write_new(link, "secret")
    assert (link.read_text(), target.read_text()) == ("secret", "kept")
    assert link.stat().st_mode & 0o777 == 0o600


def test_a_closed_parent_cannot_be_entered_by_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "open").mkdir(parents=True)
    (closed / "open").chmod(0o755)
    closed.chmod(0o700)
    assert not unprivileged.is_enterable(closed / "open")
    assert unprivileged.is_enterable(Path("/usr"))


def test_a_folder_of_another_user_or_a_link_is_rejected(tmp_path: Path) -> None:
    own, link = tmp_path / "own", tmp_path / "link"
    own.mkdir()
    link.symlink_to(own)
    unprivileged.require_owner(own, os.geteuid())
    with pytest.raises(ConfigurationError, match=r"belongs to another user \(uid \d+\) or is a"):
        unprivileged.require_owner(link, os.geteuid())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an ordinary user runs the server itself")
def test_data_in_a_closed_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable, closed = tmp_path / "var", tmp_path / "closed"
    reachable.mkdir()
    closed.mkdir(mode=0o700)
    (closed / "postgres").mkdir()
    monkeypatch.setattr(unprivileged, "REACHABLE", reachable)
    with pytest.raises(ConfigurationError, match="only root can enter"):
        unprivileged.real_home(closed / "postgres")
