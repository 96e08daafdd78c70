"""The logs of a pool's local workers: short enough to keep, and their end for a person."""

from __future__ import annotations

import os
from pathlib import Path

from workers.pools.provider import LOG_CHARACTERS, tail

#: A log that has grown beyond this is cut to its end.
_LARGEST = 1_048_576
_KEPT = 262_144
#: Of UTF-8 a character takes up to four bytes.
_TAIL_BYTES = 4 * LOG_CHARACTERS


def end_of(path: Path) -> str:
    """The last lines; empty when there is no such log."""
    try:
        return tail(_last(path, _TAIL_BYTES).decode(errors="replace"))
    except OSError:
        return ""


def trim(path: Path) -> None:
    """Moves the end of a log that is too long beside it; whoever writes appends, and goes on."""
    try:
        if path.stat().st_size > _LARGEST:
            path.with_suffix(".old.log").write_bytes(_last(path, _KEPT))
            os.truncate(path, 0)
    except OSError:
        # Gone, or the disk is full: the worker is no worse off.
        return


def _last(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()
