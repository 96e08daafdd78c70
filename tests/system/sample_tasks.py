"""The tasks that the workers of these tests run."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

from taskmaster import current_task, task
from taskmaster.tasks.compat import TaskContext
from taskmaster.tasks.retries import Discard, Retry

log = logging.getLogger(__name__)


@task
def echo(value: Any) -> Any:
    return value


@task
def current() -> list[Any]:
    """Return the id, the attempt and the due time of this task."""
    found = current_task()
    assert found is not None
    due = found.scheduled_for
    return [found.id, found.attempt, due and due.isoformat()]


@task
async def current_later() -> list[Any]:
    await asyncio.sleep(0.01)
    return await asyncio.to_thread(current.func)


@task
def length(text: str) -> int:
    return len(text)


@task
async def echo_later(value: Any) -> Any:
    await asyncio.sleep(0.01)
    return value


@task(takes_context=True)
def number_of_attempt(context: TaskContext) -> int:
    return context.attempt


@task
def print_and_raise() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    log.warning("to the log")
    raise ValueError("no such order")


@task
def print_and_fail(text: str) -> None:
    print(text)
    log.warning(text)
    raise ValueError(text)


@task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
async def sleep_async(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
def spin() -> None:
    while True:
        pass


@task
def hold_the_gil(count: int) -> int:
    """Run one C call that keeps the GIL until it returns."""
    return sum(range(count))


@task
def start_and_sleep(marker: str) -> None:
    """Start a child process, which must not outlive the task."""
    subprocess.run(["sleep", marker], check=False)


@task
def start_daemon(marker: str, seconds: float) -> int:
    """Start a daemon: two forks and a new session. Then sleep, and return the pid."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", marker])
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(seconds)
    return os.getpid()


@task
def exit_codes_of_processes(marker: str) -> list[int | None]:
    """Return the exit codes of own processes, which end beside a daemon."""
    start_daemon.func(marker, 0)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    popen = subprocess.Popen(["sh", "-c", "exit 7"])
    process.join()

    async def exit_code() -> int:
        return await (await asyncio.create_subprocess_exec("sh", "-c", "exit 8")).wait()

    return [process.exitcode, popen.wait(), asyncio.run(exit_code())]


@task
def crash() -> None:
    print("last words")
    signal.raise_signal(signal.SIGSEGV)


@task(takes_context=True)
def retry_then_return(context: TaskContext, after_s: float) -> int:
    if context.attempt == 1:
        raise Retry("not yet", after=after_s)
    return context.attempt


@task
def discard() -> None:
    raise Discard("the page is gone")


@task(no_retry_on=[LookupError])
def raise_key_error() -> None:
    raise KeyError("no such row")


@task
def kill_the_worker() -> None:
    """Kill the supervisor, which is the parent of the fork server."""
    fork_server = psutil.Process(os.getppid())
    os.kill(fork_server.ppid(), signal.SIGKILL)
    time.sleep(30)


@task
def return_non_json() -> object:
    return object()


@task
def print_non_utf8() -> None:
    sys.stdout.flush()
    os.write(1, b"caf\xe9 \xff\n")


@task
def flood(lines: int) -> None:
    for number in range(lines):
        print(f"line {number}")


@task
def clocks() -> list[float]:
    """Return the wall clock of this process, and the machine's real clock."""
    return [time.time(), time.monotonic()]


@task
def pid() -> int:
    return os.getpid()


@task
async def sleep_and_return_pid(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


_leaked: list[bytearray] = []


@task
def leak(megabytes: int) -> int:
    _leaked.append(bytearray(b"x") * (megabytes * 1_048_576))
    return os.getpid()


@task
def leak_and_sleep(megabytes: int, seconds: float) -> int:
    _leaked.append(bytearray(b"x") * (megabytes * 1_048_576))
    time.sleep(seconds)
    return os.getpid()


@task
def note(ledger: str, number: int, padding: str, seconds: float) -> None:
    """Append one line per execution, with a single write, so that lines of threads do not mix."""
    print(padding)
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{number}\n".encode())
    time.sleep(seconds)


@task(queue_name="mail", max_attempts=2)
def declare_a_queue() -> None: ...
