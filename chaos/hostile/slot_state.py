"""Describe everything that a task may rely on when its attempt starts."""

from __future__ import annotations

import decimal
import gc
import logging
import os
import re
import signal
import socket
import sys
import time
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone, translation

from chaos.hostile import LEFT_OVER

log = logging.getLogger(__name__)
_SESSION = """
    SELECT
        current_setting('search_path'),
        current_setting('TimeZone'),
        current_user,
        current_setting('statement_timeout'),
        (SELECT count(*) FROM pg_cursors),
        (SELECT count(*) FROM pg_listening_channels()),
        (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        to_regclass(%s)
"""
#: Differs between two workers of the same executor.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def process_state() -> dict[str, Any]:
    """Return the state of the process, of its streams and of logging."""
    umask = os.umask(0o22)
    os.umask(umask)
    folder = os.open(".", os.O_RDONLY)
    inode = os.fstat(folder).st_ino
    os.close(folder)
    return {
        "folder": inode,
        "umask": umask,
        "environ": sorted(f"{key}={value}" for key, value in os.environ.items()),
        "zone": time.strftime("%z"),
        "handlers": [_name(signal.getsignal(each)) for each in signal.valid_signals()],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(each)[0] for each in (0, 1, 2)],
        "streams": [
            (type(each).__name__, each.encoding, each.line_buffering, each.closed)
            for each in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "blocking": [os.get_blocking(fd) for fd in (1, 2)],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(), socket.getdefaulttimeout()],
        "gc": gc.isenabled(),
        "tracing": [_name(sys.gettrace()), _name(sys.getprofile())],
        "log": [logging.getLogger().level, logging.root.manager.disable, log.disabled],
        "context": [
            decimal.getcontext().prec,
            translation.get_language(),
            str(timezone.get_current_timezone()),
        ],
    }


def database_state() -> dict[str, Any]:
    """Return the state of the database connection."""
    with connection.cursor() as cursor:
        cursor.execute(_SESSION, [LEFT_OVER])
        row = list(cursor.fetchone())
    return {
        "session": row,
        "autocommit": connection.get_autocommit(),
        "atomic": connection.in_atomic_block,
        "wrappers": len(connection.execute_wrappers),
        "users": User.objects.filter(username=LEFT_OVER).count(),
    }


def _name(function: object) -> str:
    return _ADDRESS.sub("", repr(function))
