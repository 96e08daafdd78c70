"""The secret key, and the refusal to start with unsafe settings."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST = 32


def secret_key(folder: Path) -> str:
    """From TASKMASTER_SECRET_KEY, or made once for this checkout and kept for its user alone."""
    given = os.environ.get("TASKMASTER_SECRET_KEY")
    if given is not None:
        return given
    file = folder / "secret_key"
    try:
        return file.read_text().strip()
    except PermissionError:
        raise ConfigurationError(
            f"{file} belongs to another user, who has run TaskMaster in this checkout; run it as "
            "that user, in a checkout of your own, or set TASKMASTER_SECRET_KEY."
        ) from None
    except FileNotFoundError:
        try:
            return _make_key(file)
        except OSError as error:
            raise ConfigurationError(
                f"No secret key can be kept in {folder} ({error.strerror}); set "
                "TASKMASTER_SECRET_KEY, the same for all processes."
            ) from None


def _make_key(file: Path) -> str:
    file.parent.mkdir(exist_ok=True)
    # Of two processes that start at once, one makes it.
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(secrets.token_urlsafe(48))
    try:
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()
    return file.read_text().strip()


def refuse_unsafe(*, debug: bool, key: str, hosts: Sequence[str]) -> None:
    """Raises ConfigurationError for settings that must not face anybody with DEBUG off."""
    if debug:
        return
    if "*" in hosts:
        raise ConfigurationError(
            "TASKMASTER_ALLOWED_HOSTS is '*' with DEBUG off; name the hosts that are served."
        )
    if len(key) < _SHORTEST or key.startswith("django-insecure"):
        raise ConfigurationError(
            f"TASKMASTER_SECRET_KEY is weak; it must be random and have {_SHORTEST} characters or "
            "more, like the output of: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if not set(hosts) <= set(LOOPBACK) and "TASKMASTER_SECRET_KEY" not in os.environ:
        raise ConfigurationError(
            f"TASKMASTER_ALLOWED_HOSTS goes beyond this machine ({', '.join(hosts)}); set "
            "TASKMASTER_SECRET_KEY, the same for all processes."
        )
