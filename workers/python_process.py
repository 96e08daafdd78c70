"""Start another Python process of the same project, from any working directory."""

from __future__ import annotations

import os
import signal
import site
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs `module`. The working directory is not searched."""
    return [sys.executable, *marks(), "-P", "-m", module, *arguments]


def marks() -> list[str]:
    """Return the options `-X taskmaster_NAME=VALUE` of this process, which have no effect.

    They mark all processes of one run. Every process can read a command line, but not the
    environment of a process that is hidden.
    """
    given = sys._xoptions.items()
    options = [f"{name}={value}" for name, value in given if name.startswith("taskmaster_")]
    return [word for option in options for word in ("-X", option)]


def end_on_sigterm() -> None:
    """Let SIGTERM end this process also while it is the first one of a container.

    The kernel drops the signals to that process for which it has no handler.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with a PYTHONPATH that contains the import paths of this process.

    Paths that the interpreter searches by default are left out. A command of a task may run another
    Python, which must not load the library of this one.
    """
    given = [each for each in environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    # An empty entry is the working directory of this process.
    here = [str(Path(each or os.curdir).absolute()) for each in sys.path]
    own = [each for each in here if not _is_searched_anyway(Path(each))]
    return {**environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(own + given))}


def _is_searched_anyway(path: Path) -> bool:
    """Return whether the path belongs to the interpreter's own library or site-packages."""
    # In a virtual environment, the library of the base interpreter also holds the compiled modules.
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    library = [sysconfig.get_path(name) for name in names]
    folders = [*library, *site.getsitepackages(), site.getusersitepackages()]
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return path.name == archive or any(path.is_relative_to(folder) for folder in folders)
