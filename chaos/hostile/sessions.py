"""Define tasks that leave sessions, threads and forks behind, or end their child."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import translation

from chaos.hostile import LEFT_OVER, LOCK
from chaos.hostile.tasks import hostile

log = logging.getLogger(__name__)
_kept: list[Any] = []


# ---- database -----------------------------------------------------------------------------------


@hostile()
def leave_a_transaction() -> None:
    transaction.atomic().__enter__()
    User.objects.create(username=LEFT_OVER)


@hostile()
def leave_autocommit_off() -> None:
    connection.set_autocommit(False)
    User.objects.create(username=LEFT_OVER)


@hostile()
def leave_session_state() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO pg_temp")
        cursor.execute("SET statement_timeout TO '1ms'")
        cursor.execute("SET TIME ZONE 'Asia/Tokyo'")


@hostile()
def leave_session_objects() -> None:
    with connection.cursor() as cursor:
        # Another worker can hold it in the same database.
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        cursor.execute("LISTEN left_over")
        cursor.execute("CREATE TEMP TABLE left_over (id int)")
        cursor.execute("DECLARE left_over CURSOR WITH HOLD FOR SELECT 1")
        cursor.execute("PREPARE left_over AS SELECT 1")


@hostile()
def leave_session_objects_async() -> Any:
    async def work() -> None:
        await sync_to_async(leave_session_objects.func)()
        await sync_to_async(leave_session_state.func)()

    return asyncio.run(work())


@hostile()
def leave_a_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE pg_read_all_data")


@hostile()
def leave_a_failed_transaction() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.connection.autocommit = False
    with contextlib.suppress(Exception):
        connection.connection.execute("SELECT 1/0")


@hostile()
def leave_another_row_factory() -> None:
    connection.ensure_connection()
    connection.connection.row_factory = lambda _: lambda values: {"first": values[0]}
    connection.execute_wrappers.append(lambda *_: None)


@hostile()
def close_below_django() -> None:
    connection.ensure_connection()
    connection.connection.close()


@hostile()
def end_the_own_session() -> None:
    with connection.cursor() as cursor, contextlib.suppress(Exception):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def _count_left_over() -> int:
    return User.objects.filter(username=LEFT_OVER).count()


@hostile([0] * 8)
def use_the_orm_in_threads() -> list[int]:
    pool = ThreadPoolExecutor(8)
    _kept.append(pool)
    try:
        return [_count_left_over(), *pool.map(lambda _: _count_left_over(), range(7))]
    finally:
        pool.shutdown(wait=False)


# ---- threads, forks and pipes -------------------------------------------------------------------


@hostile("sent")
def write_to_a_closed_socket() -> str:
    ours, theirs = socket.socketpair()
    theirs.close()
    try:
        ours.sendall(b"x")
    except BrokenPipeError:
        subprocess.run(["true"], input=b"x" * 1_000_000, check=True)
        return "sent"
    return "no error"


def _log_much(number: int) -> int:
    for _ in range(20):
        log.warning("x" * 40_000)
    print("from a fork")
    return number


@hostile([0, 1, 2, 3])
def log_in_forks() -> list[int]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_log_much, range(4)))


@hostile(-signal.SIGTERM)
def terminate_a_fork() -> int | None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    return process.exitcode


def _fork(body: Callable[[], object]) -> int:
    """Run `body` in a fork that then returns from the task. Return its exit code in the parent."""
    pid = os.fork()
    if not pid:
        body()
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@hostile("parent 3")
def exit_in_a_fork() -> str:
    return f"parent {_fork(lambda: sys.exit(3))}"


@hostile("parent 0")
def return_from_a_fork() -> str:
    return f"parent {_fork(lambda: print('child'))}"


@hostile("parent 1")
def raise_in_a_fork() -> str:
    return f"parent {_fork(lambda: 1 / 0)}"


@hostile("parent 0 0")
def use_the_orm_in_a_fork() -> str:
    _count_left_over()
    return f"parent {_fork(_count_left_over)} {_count_left_over()}"


@hostile()
def raise_in_a_thread() -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


@hostile()
def exit_the_task() -> None:
    sys.exit(0)


@hostile()
def interrupt_the_task() -> None:
    raise KeyboardInterrupt


# ---- coroutines ---------------------------------------------------------------------------------


@hostile()
async def stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


@hostile()
async def exit_in_a_background_coroutine() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    _kept.append(asyncio.create_task(leave()))
    await asyncio.sleep(0.01)


@hostile("parent 0")
async def fork_in_a_coroutine() -> str:
    await asyncio.sleep(0)
    return f"parent {_fork(lambda: None)}"


@hostile()
async def change_state_in_a_coroutine() -> None:
    os.chdir("/")
    os.environ["LEFT_OVER"] = "1"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    decimal.getcontext().prec = 3
    translation.activate("de")
    await User.objects.acount()


# ---- the end of the child -----------------------------------------------------------------------


@hostile(fatal=True)
def exit_the_process() -> None:
    os._exit(3)


@hostile(fatal=True)
def close_all_descriptors() -> None:
    os.closerange(3, 1_024)


@hostile(fatal=True)
def crash() -> None:
    # A signal to the process may reach another thread after this task has ended.
    signal.raise_signal(signal.SIGSEGV)
