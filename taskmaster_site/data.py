"""Locate the site's files: the embedded database, the secret key and the logs of workers."""

from __future__ import annotations

import os
from pathlib import Path

#: The checkout, or the folder `taskmaster` of an installed package.
_ROOT = Path(__file__).resolve().parent.parent


def is_checkout() -> bool:
    """Return whether the site runs from a checkout rather than an installed package."""
    return (_ROOT / "manage.py").exists()


def command(name: str) -> str:
    """Return the command line of `demo` or `password`: `make` in a checkout, otherwise Python."""
    return f"make {name}" if is_checkout() else f"python -m taskmaster {name}"


def folder() -> Path:
    """Return TASKMASTER_DATA_DIR, or `.data` in the checkout or the working directory."""
    configured = os.environ.get("TASKMASTER_DATA_DIR")
    if configured:
        return Path(configured).absolute()
    return (_ROOT if is_checkout() else Path.cwd()) / ".data"
