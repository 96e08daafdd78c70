"""Provide the secret key, and refuse to start with unsafe settings."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from taskmaster.tasks.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
#: Minimum number of characters of the secret key.
_MIN_LENGTH = 32


def secret_key(folder: Path) -> str:
    """Return TASKMASTER_SECRET_KEY, or a key generated once and stored in `folder`.

    Only the user who generated the key can read its file. Raises ConfigurationError if the file
    cannot be read or written.
    """
    configured = os.environ.get("TASKMASTER_SECRET_KEY")
    if configured is not None:
        return configured
    file = folder / "secret_key"
    try:
        return file.read_text().strip()
    except PermissionError:
        raise ConfigurationError(
            f"{file} belongs to another user, who ran TaskMaster in this folder. Run TaskMaster as "
            "that user, use a separate checkout, or set TASKMASTER_SECRET_KEY."
        ) from None
    except FileNotFoundError:
        try:
            return _make_key(file)
        except OSError as error:
            raise ConfigurationError(
                f"The secret key cannot be stored in {folder} ({error.strerror}); set "
                "TASKMASTER_SECRET_KEY to the same value for all processes."
            ) from None


def _make_key(file: Path) -> str:
    file.parent.mkdir(exist_ok=True)
    # If two processes start concurrently, `link` succeeds in one only, and both read its key.
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
    """Raise ConfigurationError for unsafe settings, unless DEBUG is on."""
    if debug:
        return
    if "*" in hosts:
        raise ConfigurationError(
            "TASKMASTER_ALLOWED_HOSTS contains '*', which is allowed only with TASKMASTER_DEBUG; "
            "list the host names that this site serves."
        )
    if len(key) < _MIN_LENGTH or key.startswith("django-insecure"):
        raise ConfigurationError(
            "TASKMASTER_SECRET_KEY is too weak; it must be random and have at least "
            f"{_MIN_LENGTH} characters. Generate one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if not set(hosts) <= set(LOOPBACK) and "TASKMASTER_SECRET_KEY" not in os.environ:
        raise ConfigurationError(
            f"TASKMASTER_ALLOWED_HOSTS is {', '.join(hosts)}; hosts other than loopback need an "
            "explicit secret key. Set TASKMASTER_SECRET_KEY to the same value for all processes."
        )
