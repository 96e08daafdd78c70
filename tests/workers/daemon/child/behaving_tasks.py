"""Tasks that notice what an earlier task left behind."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
import random
import sys
import threading
import time
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection

from chaos.hostile import LOCK
from chaos.hostile.slot_state import database_state, process_state
from taskmaster import task

log = logging.getLogger(__name__)
#: A generator of a module, which a fork copies.
RNG = random.Random()
_taken: list[bytes] = []


def _count_locks(cursor: Any) -> int:
    """Count the locks of hostile tasks. The server releases those of a closed session late."""
    deadline = time.monotonic() + 5
    while True:
        # Other tests hold locks in other databases.
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND"
            " database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCK],
        )
        (count,) = cursor.fetchone()
        if not count or time.monotonic() > deadline:
            return int(count)
        time.sleep(0.01)


def _database_state() -> dict[str, Any]:
    state = database_state()
    with connection.cursor() as cursor:
        return state | {"all_locks": _count_locks(cursor)}


def _print_lines(number: int) -> None:
    print(f"out {number} äöü")
    print(f"err {number}", file=sys.stderr)
    log.info("log %d", number)


@task
def behave(number: int) -> dict[str, Any]:
    """Print, and return everything that a task may rely on."""
    state = process_state() | _database_state()
    _print_lines(number)
    return state


@task
async def behave_async(number: int) -> dict[str, Any]:
    """Do the same in a coroutine."""
    state = process_state() | await sync_to_async(_database_state)()
    _print_lines(number)
    return state


@task
def wait(path: str) -> str:
    """Run until a file exists."""
    while not os.path.exists(path):
        time.sleep(0.02)
    return "waited"


@task
async def wait_async(path: str) -> str:
    while not os.path.exists(path):
        await asyncio.sleep(0.02)
    return "waited"


@task
def count_users() -> int:
    return User.objects.count()


@task
def count_and_sleep(seconds: float) -> int:
    count = User.objects.count()
    time.sleep(seconds)
    return count


@task
def tcp_user_timeout() -> str:
    connection.ensure_connection()
    parameters: dict[str, str] = connection.connection.info.get_parameters()
    return parameters["tcp_user_timeout"]


@task
def count_before_and_after(path: str) -> int:
    """Count again in the same session when a file exists."""
    print(f"counted {User.objects.count()}", flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    return User.objects.count()


@task
def take_memory(path: str, megabytes: int) -> int:
    """Take memory when a file exists, and keep it. Return the pid."""
    print("waiting", flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    _taken.append(b"x" * (megabytes * 1_048_576))
    return os.getpid()


@task
async def count_users_async() -> int:
    return await User.objects.acount()


@task
def nap(seconds: float) -> None:
    time.sleep(seconds)


@task
def change_state_later(path: str) -> None:
    """Leave a thread behind that changes the state while the child is idle."""

    def work() -> None:
        while not os.path.exists(path):
            time.sleep(0.02)
        os.chdir("/")
        os.umask(0o777)
        os.unlink(path)
        threading.Event().wait()

    threading.Thread(target=work, daemon=True).start()


@task
def draw() -> float:
    return RNG.random()


@task
def own_pid() -> int:
    return os.getpid()
