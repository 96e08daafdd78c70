"""Tasks to try: they process real files and report their progress.

`make demo` lists this module in TASKMASTER_TASK_MODULES. Other processes do not load it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from taskmaster import task
from taskmaster.tasks.compat import TaskContext

log = logging.getLogger(__name__)


@task
def checksum(path: str) -> dict[str, Any]:
    """Return the SHA-256 and size of a file."""
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    log.info("%s has %d bytes", path, size)
    return {"path": path, "sha256": digest, "bytes": size}


@task
def archive(path: str, into: str) -> dict[str, Any]:
    """Compress a file with gzip; return the SHA-256 of the input and both sizes.

    The archive gets its name only when it is complete, so that a second execution after a crash
    does no harm: delivery is at least once.
    """
    source, target = Path(path), Path(into)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        with gzip.open(part, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(file, packed)
    part.replace(target)
    print(f"{path}: {size:,} bytes, {target.stat().st_size:,} packed")
    return {"path": path, "sha256": digest, "bytes": size, "packed": target.stat().st_size}


@task
def add(a: float, b: float) -> float:
    """Return the sum of two numbers."""
    return a + b


@task(takes_context=True)
def count_down(context: TaskContext, seconds: int = 5) -> int:
    """Print a line per second: a task to watch, cancel or kill."""
    for left in range(seconds, 0, -1):
        print(f"attempt {context.attempt}: {left} s left", flush=True)
        time.sleep(1)
    return seconds


@task
async def wait(seconds: float = 1.0) -> float:
    """Wait without blocking a thread."""
    await asyncio.sleep(seconds)
    return seconds


@task
def fail(message: str = "as asked") -> None:
    """Raise an error, to show how errors of attempts are displayed."""
    raise RuntimeError(message)
