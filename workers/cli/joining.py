"""Provide the `manage.py taskmaster` actions for join tokens and certificates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from taskmaster.tasks.cli.arguments import Action
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.extras import require_extra
from taskmaster.workers.security import tokens

_TOKEN_EXAMPLES = """\
examples:
  export TASKMASTER_JOIN_TOKEN=$(manage.py taskmaster join-token rack-7)
  manage.py taskmaster join-token one-laptop --uses 1 --expires 30d
  manage.py taskmaster join-token rack-7 --revoke
"""
_CERTS_EXAMPLES = """\
examples:
  manage.py taskmaster certs certs --host coordinators.example.org --host 10.0.0.5
"""
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([mhd])")


def add_actions(action: Action) -> None:
    """Add the actions join-token and certs."""
    token = action(
        "join-token", "create or revoke a token with which workers join", _TOKEN_EXAMPLES
    )
    token.add_argument("name", metavar="NAME", help="name of the token")
    token.add_argument(
        "--expires",
        metavar="TIME",
        help="12h, 30d, or a time like 2030-01-31T12:00:00+01:00; workers that joined with it are "
        "disconnected then (default: never)",
    )
    token.add_argument(
        "--uses", metavar="N", help="number of workers that may join with it (default: unlimited)"
    )
    token.add_argument(
        "--revoke",
        action="store_true",
        help="revoke the token and disconnect the workers that joined with it",
    )
    certs = action(
        "certs",
        "create a private CA and certificates for coordinators and workers",
        _CERTS_EXAMPLES,
    )
    certs.add_argument(
        "folder", metavar="DIR", help="folder of the files; an existing CA in it is reused"
    )
    certs.add_argument(
        "--host",
        metavar="HOST",
        action="append",
        default=[],
        help="host name or address of a coordinator, as workers reach it; repeatable",
    )
    certs.add_argument(
        "--days", metavar="N", default="365", help="days of validity (default: %(default)s)"
    )


def join_token(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Create and print a token, or revoke one.

    Raises InvalidField, JoinTokenNotFound or IllegalTransition.
    """
    name = options["name"]
    if options["revoke"]:
        for option in ("expires", "uses"):
            if options[option] is not None:
                raise InvalidField(f"--{option}", "cannot be combined with --revoke.")
        row = tokens.revoke(name)
        if options["json"]:
            out.json({"name": name, "revoked_at": _moment(row.revoked_at)})
        else:
            out.line(f"Join token {name} is revoked; its workers are disconnected within 10 s.")
        return
    uses = None if options["uses"] is None else _parse_whole_number("--uses", options["uses"])
    made = tokens.create(name, expires_at=_expiry(options["expires"]), uses=uses)
    if options["json"]:
        out.json(
            {
                "name": name,
                "token": made.secret,
                "expires_at": _moment(made.row.expires_at),
                "uses_left": made.row.uses_left,
            }
        )
    else:
        # Print the secret only, so that a shell can capture it.
        out.line(made.secret)


def certs(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Create certificates and print their files. Raises InvalidField or ConfigurationError."""
    require_extra("server", "taskmaster certs", "cryptography")
    from taskmaster.workers.security import certificates

    days = _parse_whole_number("--days", options["days"])
    made = certificates.write(Path(options["folder"]).resolve(), options["host"], days=days)
    if options["json"]:
        files = ("ca", "coordinator", "coordinator_key", "worker", "worker_key")
        paths = {name: str(getattr(made, name)) for name in files}
        out.json({**paths, "expires_at": _moment(made.expires_at)})
        return
    out.line(f"{'Renewed' if made.renewed else 'Created'}, valid until {made.expires_at:%Y-%m-%d}.")
    out.line("Coordinators:")
    out.line(f"  TASKMASTER_TLS_CERT={made.coordinator}")
    out.line(f"  TASKMASTER_TLS_KEY={made.coordinator_key}")
    out.line("Workers:")
    out.line(f"  TASKMASTER_TLS_CA={made.ca}")
    out.line("For mutual TLS, coordinators also:")
    out.line(f"  TASKMASTER_TLS_CA={made.ca} TASKMASTER_TLS_CLIENT_CERTS=required")
    out.line("and workers:")
    out.line(f"  TASKMASTER_TLS_CERT={made.worker} TASKMASTER_TLS_KEY={made.worker_key}")
    out.line("ca-key.pem can sign any certificate: keep it away from coordinators and workers.")


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    if short := _DURATION.fullmatch(text):
        return timezone.now() + timedelta(**{_UNITS[short[2]]: int(short[1])})
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidField(
            "--expires", f"{text!r} is not a duration like 12h or 30d, or a time with a time zone."
        )
    return moment


def _parse_whole_number(option: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidField(option, f"is {text!r}; it must be a whole number from 1.")
    return int(text)


def _moment(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()
