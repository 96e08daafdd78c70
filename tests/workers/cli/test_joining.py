"""Test `manage.py taskmaster join-token` and `certs`."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from taskmaster.workers.models import JoinToken
from taskmaster.workers.security import tokens
from taskmaster.workers.security.tokens import digest

pytestmark = pytest.mark.django_db


def run(*argv: str) -> str:
    out = io.StringIO()
    call_command("taskmaster", *argv, stdout=out)
    return out.getvalue()


def test_only_the_token_is_printed_to_stdout() -> None:
    secret = run("join-token", "rack-7").strip()
    row = JoinToken.objects.get(name="rack-7")
    assert row.digest == digest(secret)
    assert (row.expires_at, row.uses_left, row.created_by) == (None, None, None)


def test_a_token_can_have_an_expiry_and_a_number_of_uses() -> None:
    output = json.loads(run("join-token", "a", "--expires", "30d", "--uses", "2", "--json"))
    row = JoinToken.objects.get(name="a")
    assert output["token"].startswith(tokens.PREFIX)
    assert output["uses_left"] == row.uses_left == 2
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    run("join-token", "b", "--expires", "2050-01-31T12:00:00+01:00")
    assert str(JoinToken.objects.get(name="b").expires_at) == "2050-01-31 11:00:00+00:00"


def test_a_token_is_revoked_by_name() -> None:
    run("join-token", "rack-7")
    assert "is revoked" in run("join-token", "rack-7", "--revoke")
    assert JoinToken.objects.get().revoked_at is not None
    with pytest.raises(CommandError, match="was revoked on"):
        run("join-token", "rack-7", "--revoke")


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        (("--expires", "soon"), "--expires: 'soon' is not a duration like 12h"),
        (("--expires", "2050-01-31T12:00:00"), "is not a duration like 12h or 30d"),
        (("--expires", "2050-13-31T12:00:00Z"), "is not a duration like 12h or 30d"),
        (("--expires", "2001-01-31T12:00:00Z"), "expires_at: is in the past"),
        (("--expires", "9999-12-31T23:00:00-12:00"), "expires_at: is after the year 9999."),
        (("--uses", "0"), "uses: is 0; it must be from 1"),
        (("--uses", "-1"), "--uses: is '-1'; it must be a whole number from 1."),
        (("--uses", "1.5"), "--uses: is '1.5'; it must be a whole number"),
        (("--revoke", "--uses", "1"), "--uses: cannot be combined with --revoke."),
        (("--revoke",), "There is no join token 'x'."),
    ],
)
def test_invalid_options_are_named_and_create_no_token(argv: tuple[str, ...], rule: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("join-token", "x", *argv)
    assert rule in str(caught.value)
    assert not JoinToken.objects.exists()


def test_an_invalid_token_name_is_not_found() -> None:
    for name in (os.fsdecode(b"\xff"), "a\nb"):
        with pytest.raises(CommandError, match="There is no join token"):
            run("join-token", name, "--revoke")


def test_certificates_are_created_and_their_variables_printed(tmp_path: Path) -> None:
    output = run("certs", str(tmp_path), "--host", "a.example.org", "--host", "10.0.0.5")
    assert f"TASKMASTER_TLS_CERT={tmp_path}/coordinator.pem" in output
    assert f"TASKMASTER_TLS_CA={tmp_path}/ca.pem" in output
    again = json.loads(run("certs", str(tmp_path), "--host", "a.example.org", "--json"))
    assert Path(again["worker_key"]).exists()
    with pytest.raises(CommandError, match=r"^--host: is required"):
        run("certs", str(tmp_path))
