"""Compresses a real folder tree and verifies every digest: `make example`.

Each file becomes a task (`examples.tasks.archive`), and a shell pipeline counts the kinds of
files. The results are compared with what `sha256sum` says of the same files. Without a worker
online it runs a coordinator and two workers of its own for as long as it takes.
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

from taskmaster_site import demo, postgres
from taskmaster_site.demo_workers import Workers
from taskmaster_site.processes import Fleet
from tasks.errors import ConfigurationError, TaskMasterError

INTO = demo.ROOT / ".data" / "example"
#: The most files that one call of sha256sum or gzip gets.
_BATCH = 500
_POLL_S = 0.2
_KINDS = (
    "find . -name site-packages -prune -o -type f -print "
    "| sed 's/.*[./]//' | sort | uniq -c | sort -rn | head -5"
)
_console = Console()


def files_below(folder: Path) -> list[Path]:
    """Every regular file of the tree; what was installed beside it is left out."""
    files: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "site-packages"]
        files += [path for name in names if (path := Path(where, name)).is_file()]
    if not files:
        raise ConfigurationError(f"There are no files below {folder}.")
    return sorted(files)


def run(folder: Path) -> int:
    """Submits, watches, verifies; the number of files that went wrong."""
    from examples.tasks import archive
    from tasks.enqueue import bulk, enqueue, new
    from tasks.models import Task
    from tasks.submission import parse

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
    _console.print(f"The shell pipeline counted the kinds of files:\n{text.rstrip()}")
    if wrong or failed:
        _console.print(f"[red]{wrong:,} digests are wrong, {len(failed):,} tasks did not complete.")
    else:
        _console.print(f"[green]All {len(files):,} digests are what sha256sum says.")
    return wrong + len(failed)


def watch(ids: Sequence[int]) -> None:
    """Shows a bar until every task has ended."""
    from django.db.models import Count

    from tasks.lifecycle import FINISHED
    from tasks.models import Task

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
    """How many digests differ from sha256sum's, or belong to a broken archive."""
    wrong = 0
    for start in range(0, len(files), _BATCH):
        part = slice(start, start + _BATCH)
        # A zero byte after each line keeps sha256sum from escaping strange names.
        said = subprocess.run(
            ["sha256sum", "--zero", *map(str, files[part])], capture_output=True, check=False
        ).stdout.split(b"\0")
        true = [line[:64].decode() for line in said if line]
        wrong += sum(a != b for a, b in zip(true, digests[part], strict=True))
        whole = subprocess.run(
            ["gzip", "--test", *map(str, packed[part])], capture_output=True, check=False
        )
        wrong += len(whole.stderr.splitlines())
    return wrong


def worker_online() -> bool:
    """Whether somebody is there to do the work."""
    from datetime import timedelta

    from django.utils import timezone

    from workers.models import Worker

    since = timezone.now() - timedelta(seconds=15)
    return Worker.objects.filter(status="online", last_seen_at__gte=since).exists()


async def run_with_own_fleet(folder: Path) -> int:
    """The same with a coordinator and workers of its own."""
    os.environ["TASKMASTER_LOG_LEVEL"] = "WARNING"
    workers = Workers()
    await workers.start()
    fleet = Fleet(demo.parts(postgres.free_port(), postgres.free_port())[1:], workers)
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
    """The exit code: 0 when every digest is right."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib"))
    started = False
    try:
        started = demo.prepare_database()
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
        if started:
            postgres.default().stop()


if __name__ == "__main__":
    sys.exit(main())
