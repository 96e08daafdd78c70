"""Limit the logs of local workers and read their last lines."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers.pools.provider import LOG_CHARACTERS, tail

#: A log that is larger than this is cut to its end.
_LARGEST = 1_048_576
_KEPT = 262_144
#: A character takes up to four bytes in UTF-8.
_TAIL_BYTES = 4 * LOG_CHARACTERS


def folder(data_dir: str) -> Path:
    """Return the folder for the logs of all pools.

    `data_dir` is the setting of that name. When it is empty, each user and database has a private
    folder, so that two projects on one host do not share their logs. Raises ConfigurationError when
    that folder belongs to another user, because every user can create one in the temporary folder.
    """
    if data_dir:
        return Path(data_dir) / "pools"
    database = connections[DEFAULT_DB_ALIAS].settings_dict
    place = ":".join(str(database.get(key) or "") for key in ("HOST", "PORT", "NAME"))
    digest = hashlib.sha256(place.encode()).hexdigest()[:12]
    private = Path(tempfile.gettempdir()) / f"taskmaster-{os.getuid()}-{digest}"
    # A dangling link counts as existing.
    with contextlib.suppress(FileExistsError):
        private.mkdir(mode=0o700)
    if private.is_symlink() or private.stat().st_uid != os.getuid():
        raise ConfigurationError(
            f"{private} belongs to another user. Remove it, or set TASKMASTER_DATA_DIR to another "
            "folder."
        )
    return private / "pools"


def read_end(path: Path) -> str:
    """Return the last lines of a log, or "" if it does not exist."""
    try:
        return tail(_last(path, _TAIL_BYTES).decode(errors="replace"))
    except OSError:
        return ""


def trim(path: Path) -> None:
    """Move the end of a log that is too long to a second file.

    Writers use append mode, so they continue in the truncated file.
    """
    try:
        if path.stat().st_size > _LARGEST:
            path.with_suffix(".old.log").write_bytes(_last(path, _KEPT))
            os.truncate(path, 0)
    except OSError:
        # The log is gone or the disk is full. The worker is not affected.
        return


def _last(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()
