"""Compress a real folder tree and verify every digest: `make example`.

Each file becomes a task (`examples.tasks.archive`), and a shell pipeline counts the file
extensions. The results are compared with the output of `sha256sum` for the same files. If no worker
is online, the run starts its own coordinator and two workers, and stops them at its end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from taskmaster.taskmaster_site.demo import main as demo
from taskmaster.taskmaster_site.demo.database import DemoDatabase
from taskmaster.taskmaster_site.demo.local_workers import LocalWorkers
from taskmaster.taskmaster_site.demo.process_group import ProcessGroup
from taskmaster.taskmaster_site.embedded_postgres import server
from taskmaster.tasks.errors import ConfigurationError, TaskMasterError

INTO = demo.ROOT / ".data" / "example"
#: The maximum number of files per call of sha256sum or gzip.
_BATCH = 500
_POLL_S = 0.2
_KINDS = (
    "find . -name site-packages -prune -o -type f -print "
    "| sed 's/.*[./]//' | sort | uniq -c | sort -rn | head -5"
)
_console = Console()


def files_below(folder: Path) -> list[Path]:
    """Return every regular file of the tree except those in site-packages."""
    files: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "site-packages"]
        files += [path for name in names if (path := Path(where, name)).is_file()]
    if not files:
        raise ConfigurationError(f"{folder} contains no files. Name a folder with files.")
    return sorted(files)


def run(folder: Path) -> int:
    """Submit, watch and verify; return the number of files with errors."""
    from examples.tasks import archive
    from taskmaster.tasks.enqueue import bulk, enqueue, new
    from taskmaster.tasks.models import Task
    from taskmaster.tasks.submission import parse

    files = files_below(folder)
    shutil.rmtree(INTO, ignore_errors=True)
    packed = [INTO / f"{path.relative_to(folder)}.gz" for path in files]
    began = time.monotonic()
    ids = bulk(
        [new(archive, str(path), str(into)) for path, into in zip(files, packed, strict=True)]
    )
    kinds = enqueue(parse({"command": _KINDS, "cwd": str(folder)}))
    watch([*ids, kinds])
    seconds = time.monotonic() - began

    rows = {task.pk: task for task in Task.objects.filter(pk__in=[*ids, kinds])}
    results = [rows[pk].result or {} for pk in ids]
    failed = [rows[pk] for pk in rows if rows[pk].status != "complete"]
    for task in failed[:5]:
        last = task.errors[-1]["message"] if task.errors else task.status
        _console.print(f"[red]task {task.pk} {task.status}: {last}")
    wrong = verify(files, packed, [result.get("sha256", "") for result in results])
    before = sum(result.get("bytes", 0) for result in results)
    after = sum(result.get("packed", 0) for result in results)
    _console.print(
        f"{len(files):,} files, {before / 1e6:.1f} MB packed into {after / 1e6:.1f} MB in "
        f"{seconds:.1f} s: {len(files) / seconds:,.0f} tasks/s."
    )
    text = "".join(rows[kinds].output.order_by("lease", "seq").values_list("text", flat=True))
    _console.print(f"Most frequent file extensions, counted by a shell pipeline:\n{text.rstrip()}")
    if wrong or failed:
        _console.print(f"[red]{wrong:,} digests are wrong, {len(failed):,} tasks did not complete.")
    else:
        _console.print(f"[green]All {len(files):,} digests match sha256sum.")
    return wrong + len(failed)


def watch(ids: Sequence[int]) -> None:
    """Show a bar until every task has ended."""
    from django.db.models import Count

    from taskmaster.tasks.lifecycle import FINISHED
    from taskmaster.tasks.models import Task

    counts = Task.objects.filter(pk__in=ids)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console) as progress:
        bar = progress.add_task("packing", total=len(ids))
        while True:
            by_status = Counter(
                dict(counts.values_list("status").annotate(count=Count("pk")).order_by())
            )
            ended = sum(by_status[status] for status in FINISHED)
            progress.update(bar, completed=ended)
            if ended == len(ids):
                return
            time.sleep(_POLL_S)


def verify(files: Sequence[Path], packed: Sequence[Path], digests: Sequence[str]) -> int:
    """Return the number of wrong digests and broken archives."""
    wrong = 0
    for start in range(0, len(files), _BATCH):
        part = slice(start, start + _BATCH)
        # A zero byte after each line keeps sha256sum from escaping unusual names.
        lines = subprocess.run(
            ["sha256sum", "--zero", *map(str, files[part])], capture_output=True, check=False
        ).stdout.split(b"\0")
        expected = [line[:64].decode() for line in lines if line]
        wrong += sum(a != b for a, b in zip(expected, digests[part], strict=True))
        archives = subprocess.run(
            ["gzip", "--test", *map(str, packed[part])], capture_output=True, check=False
        )
        wrong += len(archives.stderr.splitlines())
    return wrong


def worker_online() -> bool:
    """Return whether a worker is online."""
    from datetime import timedelta

    from django.utils import timezone

    from taskmaster.workers.models import Worker

    since = timezone.now() - timedelta(seconds=15)
    return Worker.objects.filter(status="online", last_seen_at__gte=since).exists()


async def run_with_own_fleet(folder: Path) -> int:
    """Run with its own coordinator and workers."""
    os.environ["TASKMASTER_LOG_LEVEL"] = "WARNING"
    workers = LocalWorkers()
    await workers.start()
    fleet = ProcessGroup(demo.parts(server.free_port(), server.free_port())[1:], workers)
    loop = asyncio.get_running_loop()
    outcome: list[asyncio.Future[int]] = []

    def work() -> None:
        outcome.append(loop.run_in_executor(None, run, folder))
        outcome[0].add_done_callback(lambda _: fleet.stop())

    try:
        code = await fleet.run(60.0, work)
    finally:
        await workers.restore()
    return await outcome[0] if outcome else code


def main() -> int:
    """Return 0 if every digest is correct, else 1."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib"))
    os.environ.update(demo.demo_settings())
    database = DemoDatabase()
    try:
        database.prepare()
        _console.print(f"Packing every file below {folder} into {INTO.relative_to(demo.ROOT)}/ …")
        if worker_online():
            return 1 if run(folder) else 0
        _console.print("No worker is online: this run starts a coordinator and two workers.")
        return 1 if asyncio.run(run_with_own_fleet(folder)) else 0
    except TaskMasterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        database.stop()


if __name__ == "__main__":
    sys.exit(main())
