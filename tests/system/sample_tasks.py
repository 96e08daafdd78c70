"""What the workers of these tests run."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

from tasks.compat import TaskContext, task
from tasks.retries import Discard, Retry

log = logging.getLogger(__name__)


@task
def echo(value: Any) -> Any:
    return value


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
def speak_and_raise() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    log.warning("to the log")
    raise ValueError("no such order")


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
    """One call into C, which neither returns nor lets go meanwhile."""
    return sum(range(count))


@task
def start_and_sleep(marker: str) -> None:
    """A child of the child, which must not outlive it."""
    subprocess.run(["sleep", marker], check=False)


@task
def crash() -> None:
    print("last words")
    os.kill(os.getpid(), signal.SIGSEGV)


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
    """Kills the supervisor: its launcher's parent."""
    launcher = psutil.Process(os.getppid())
    os.kill(launcher.ppid(), signal.SIGKILL)
    time.sleep(30)


@task
def return_no_json() -> object:
    return object()


@task
def print_no_utf8() -> None:
    sys.stdout.flush()
    os.write(1, b"caf\xe9 \xff\n")


@task
def flood(lines: int) -> None:
    for number in range(lines):
        print(f"line {number}")


@task
def clocks() -> list[float]:
    """What this host's clock says, and the machine's own, which nobody sets."""
    return [time.time(), time.monotonic()]


@task
def pid() -> int:
    return os.getpid()


@task
async def sleep_and_tell_pid(seconds: float) -> int:
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
    """One line for each execution: a single write, so that lines of threads do not mix."""
    print(padding)
    with open(ledger, "ab", buffering=0) as file:
        file.write(f"{number}\n".encode())
    time.sleep(seconds)
