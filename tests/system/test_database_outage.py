"""Test coordinator, worker and web during every kind of database outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.system.programs import Feed, Site, running_site
from tests.system.server import Server
from tests.waiting import DEADLINE_S, wait_until

#: How long sessions are terminated once per second.
_TERMINATE_S = 15.0
#: About three seconds of the worker's time.
_BACKLOG = 1_000
_OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
_TERMINATE = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS}"
#: The log messages of coordinator and web during an outage.
OUTAGE = "database unavailable; (retrying|requests get)"
OVER = "database available again"
#: Messages of libpq for a terminated session and a refused connection.
LOST = "terminating connection|closed the connection|shutting down|starting up|recovery|refused"


@pytest.fixture(scope="module")
def site(_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    _server.start()
    # Frequent enough that heartbeats meet the outage, and longer than a wait for a connection.
    often = {"TASKMASTER_HEARTBEAT_INTERVAL_S": "2.5", "TASKMASTER_HEARTBEAT_MISSES": "6"}
    with running_site(tmp_path_factory.mktemp("site"), _server, **often) as site:
        yield site


class Watch:
    """Watch the log of each program since the outage began, and whether it still runs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sizes = {name: program.size for name, program in site.programs.items()}

    def wrote(self, name: str, pattern: str) -> list[str]:
        return self._site.programs[name].wrote(pattern, self._sizes[name])

    def check(self, why: str) -> None:
        """Check that all programs live, and that each logged the outage once, with the reason."""
        for program in self._site.programs.values():
            assert program.process.poll() is None, program.text()[-3_000:]
        wait_until(lambda: self.wrote("coordinator", OVER), "the coordinator logs the end")
        lines = self.wrote("coordinator", OUTAGE)
        assert len(lines) == 1, lines
        assert has_reason(lines[0], why), lines
        assert len(self.wrote("web", OUTAGE)) <= 1
        for name in self._site.programs:
            assert not self.wrote(name, "Traceback")
            loud = self.wrote(name, " (WARNING|ERROR|CRITICAL) ")
            assert len(loud) <= 4, loud


def has_reason(line: str, why: str) -> bool:
    """Return whether one of the reasons is in the line."""
    return any(reason in line for reason in why.split("|"))


def survive(
    site: Site,
    server: Server,
    name: str,
    outage: Callable[[Feed, Watch], None],
    why: str,
    *,
    padding: int = 0,
) -> Feed:
    """Submit tasks before, during and after an outage; check that all complete exactly once."""
    watch = Watch(site)
    with Feed(site, name, padding=padding) as feed:
        feed.until_accepted(20)
        # Some tasks that run through the outage, and enough that the claimer always has work.
        feed.submit_many(2, lasting_s=3)
        feed.submit_many(_BACKLOG)
        outage(feed, watch)
        feed.until_accepted(20)
    feed.check(server)
    watch.check(why)
    return feed


#: A server that refuses does so immediately: about two seconds.
_LONG_ENOUGH = 25


def wait_for_outage(feed: Feed, watch: Watch, refusals: int) -> None:
    """Wait until the coordinator has logged the outage, and the web has refused this often."""
    wait_until(lambda: watch.wrote("coordinator", OUTAGE), "the coordinator logs the outage")
    before = len(feed.refused)
    wait_until(lambda: len(feed.refused) >= before + refusals, "the web refuses")


def test_a_restart_of_the_server(site: Site, server: Server) -> None:
    def restart(feed: Feed, watch: Watch) -> None:
        server.cluster.stop()
        wait_for_outage(feed, watch, 2)
        server.start()
        feed.until_accepted(1)

    feed = survive(site, server, "restart", restart, LOST)
    assert {answer.status for answer in feed.refused} == {503}


def test_a_crash_of_the_server(site: Site, server: Server) -> None:
    def kill(feed: Feed, watch: Watch) -> None:
        server.kill()
        wait_until(lambda: watch.wrote("coordinator", OUTAGE), "the coordinator logs the outage")
        server.start()

    survive(site, server, "kill", kill, LOST)


def test_all_sessions_are_terminated_every_second(site: Site, server: Server) -> None:
    def terminate(feed: Feed, watch: Watch) -> None:
        give_up, tick = time.monotonic() + _TERMINATE_S, threading.Event()
        with server.connect() as connection:
            while time.monotonic() < give_up:
                connection.execute(_TERMINATE)  # type: ignore[call-overload]
                tick.wait(1.0)
        assert feed.accepted

    survive(site, server, "terminate", terminate, LOST)


def test_idle_sessions_use_every_connection(site: Site, server: Server) -> None:
    def exhaust_connections(feed: Feed, watch: Watch) -> None:
        idle = [server.connect()]
        try:
            while not (watch.wrote("coordinator", OUTAGE) and len(feed.refused) >= 2):
                try:
                    idle.append(server.connect())
                except psycopg.OperationalError:
                    # Connections of the others are freed and taken in the next iteration.
                    pids = [each.info.backend_pid for each in idle]
                    idle[0].execute(f"{_TERMINATE} AND NOT pid = ANY (%s)", [pids])  # type: ignore[call-overload]
            assert len(idle) >= 95
        finally:
            for each in idle:
                each.close()

    survive(site, server, "exhaust_connections", exhaust_connections, f"too many clients|{LOST}")


def test_statements_exceed_the_statement_timeout(site: Site, server: Server) -> None:
    def set_timeout(feed: Feed, watch: Watch) -> None:
        server.ask("ALTER DATABASE taskmaster SET statement_timeout = '50ms'")
        try:
            with server.connect() as connection, connection.transaction():
                # A statement that certainly takes longer.
                connection.execute("SET LOCAL statement_timeout = 0")
                connection.execute(_TERMINATE)  # type: ignore[call-overload]
                connection.execute("LOCK TABLE taskmaster_tasks_task IN ACCESS EXCLUSIVE MODE")
                wait_for_outage(feed, watch, _LONG_ENOUGH)
        finally:
            server.ask("ALTER DATABASE taskmaster RESET statement_timeout")
            server.ask(_TERMINATE)

    survive(site, server, "set_timeout", set_timeout, f"statement timeout|{LOST}")


def test_the_server_becomes_read_only(site: Site, server: Server) -> None:
    def freeze(feed: Feed, watch: Watch) -> None:
        server.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        server.ask("SELECT pg_reload_conf()")
        try:
            wait_for_outage(feed, watch, _LONG_ENOUGH)
            assert feed.refused[-1].status == 503
            assert site.get("/api/tasks/").status == 200
        finally:
            server.ask("ALTER SYSTEM RESET default_transaction_read_only")
            server.ask("SELECT pg_reload_conf()")

    survive(site, server, "freeze", freeze, "read-only transaction")


def test_the_disk_is_full(site: Site, server: Server) -> None:
    if not server.small:
        pytest.skip(
            "needs root who may mount a tmpfs, and the command mount; "
            "on Debian: apt-get install mount"
        )

    def fill(feed: Feed, watch: Watch) -> None:
        ballast = server.cluster.home.parent / "ballast"
        # Tasks that are already stored also need space when they are executed.
        feed.submit_many(300, in_s=3)
        give_up = time.monotonic() + DEADLINE_S
        try:
            with ballast.open("wb", buffering=0) as file:
                while not (watch.wrote("coordinator", OUTAGE) and feed.refused):
                    assert time.monotonic() < give_up, "the full disk has no effect"
                    try:
                        file.write(bytes(65_536))
                    except OSError:
                        threading.Event().wait(0.05)
            wait_for_outage(feed, watch, _LONG_ENOUGH)
        finally:
            ballast.unlink()
            # If there was no space for the WAL either, the server has stopped.
            server.start()

    survive(site, server, "full", fill, f"No space left|{LOST}", padding=1_500)
