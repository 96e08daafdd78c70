"""Install the packages of a lock file into a virtual environment, and show the progress.

    python tools/install.py LOCK PYTHON

PYTHON is the interpreter of the environment. This script runs before any package is installed, so
it uses only the standard library. If pip fails, its complete output is shown.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO

#: Interval between progress lines if the output is not a terminal, in seconds.
_LINE_S = 10.0
_TICK_S = 0.2
_WIDTH = 30
#: Prefixes of the lines that pip prints when it has selected a package.
_FOUND = ("Collecting ", "Requirement already satisfied: ")
_INSTALLS = "Installing collected packages: "


class Progress:
    """Show progress: a bar on a terminal, otherwise a line at intervals."""

    def __init__(self, total: int, out: IO[str]) -> None:
        self.total = total
        self._out = out
        self._live = out.isatty()
        self._began = time.monotonic()
        self._next_line = self._began + _LINE_S

    def show(self, done: int, doing: str) -> None:
        """Show the number of completed packages."""
        now = time.monotonic()
        text = f"{min(done, self.total)} of {self.total} {doing}, {now - self._began:.0f} s"
        if self._live:
            full = _WIDTH * min(done, self.total) // self.total
            self._write(f"\r\x1b[K[{'#' * full}{'.' * (_WIDTH - full)}] {text}")
        elif now >= self._next_line:
            self._next_line = now + _LINE_S
            self._write(f"  {text}\n")

    def close(self) -> None:
        """Remove the bar."""
        if self._live:
            self._write("\r\x1b[K")

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def packages_in(lock: Path) -> int:
    """Return the number of packages that a lock file pins."""
    return len(re.findall(r"^[\w.\[\]-]+==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def install(lock: Path, python: str) -> int:
    """Run pip and show its progress; return its exit code."""
    total = packages_in(lock)
    print(f"Installing {total} packages ({lock}); this usually takes about a minute …", flush=True)
    progress = Progress(total, sys.stdout)
    pip = subprocess.Popen(
        [
            *(python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
            *("--progress-bar", "off", "--no-color", "--require-hashes", "-r", str(lock)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    output = list(_follow(pip, progress, _folders(python)))
    progress.close()
    if pip.wait() != 0:
        print("".join(output), file=sys.stderr)
        print(f"pip failed with exit code {pip.returncode}; its output is above.", file=sys.stderr)
        return pip.returncode
    print(f"Installed in {progress.seconds:.0f} s.", flush=True)
    return 0


def _follow(
    pip: subprocess.Popen[str], progress: Progress, folders: tuple[Path, ...]
) -> Iterator[str]:
    """Yield the lines of pip until it ends, and show its progress."""
    lines: Queue[str | None] = Queue()
    Thread(target=_read, args=(pip, lines), daemon=True).start()
    found, before = 0, -1
    while True:
        try:
            line = lines.get(timeout=_TICK_S)
        except Empty:
            line = ""
        if line is None:
            return
        if line.startswith(_INSTALLS):
            before, progress.total = _installed(folders), line.count(",") + 1
        found += line.startswith(_FOUND)
        if before >= 0:
            # pip prints nothing while it unpacks, so count the installed packages.
            progress.show(_installed(folders) - before, "packages installed")
        else:
            progress.show(found, "packages downloaded")
        if line:
            yield line


def _read(pip: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    assert pip.stdout is not None
    for line in pip.stdout:
        lines.put(line)
    lines.put(None)


def _folders(python: str) -> tuple[Path, ...]:
    """Return the package folders of the environment."""
    names = "[sysconfig.get_path(each) for each in ('purelib', 'platlib')]"
    script = f"import sysconfig; print(*{names}, sep='\\n')"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return tuple({Path(each) for each in done.stdout.splitlines()})


def _installed(folders: tuple[Path, ...]) -> int:
    return sum(1 for folder in folders for _ in folder.glob("*.dist-info"))


if __name__ == "__main__":
    try:
        sys.exit(install(Path(sys.argv[1]), sys.argv[2]))
    except KeyboardInterrupt:
        print()
        sys.exit(130)
