"""The database fails in every way that it has, under coordinator, worker and web that live on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.system.programs import DEADLINE_S, Feed, Site, running_site, until
from tests.system.server import Server

#: How long sessions are ended once a second.
_TERMINATE_S = 15.0
#: About three seconds of the worker's time.
_BACKLOG = 1_000
_OTHERS = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
_TERMINATE = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS}"
#: How a coordinator and the web say that something is wrong.
SAID = "database trouble, (tried again|requests get)"
OVER = "database trouble is over"
#: How libpq says that a session was ended, and why there is no new one.
LOST = "terminating connection|closed the connection|shutting down|starting up|recovery|refused"


@pytest.fixture(scope="module")
def site(_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    _server.start()
    # Often enough that heartbeats meet the trouble, too, and longer than a wait for a connection.
    often = {"TASKMASTER_HEARTBEAT_INTERVAL_S": "2.5", "TASKMASTER_HEARTBEAT_MISSES": "6"}
    with running_site(tmp_path_factory.mktemp("site"), _server, **often) as site:
        yield site


class Watch:
    """What the log of each program says since the trouble began, and who still runs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sizes = {name: program.size for name, program in site.programs.items()}

    def wrote(self, name: str, pattern: str) -> list[str]:
        return self._site.programs[name].wrote(pattern, self._sizes[name])

    def check(self, why: str) -> None:
        """All live, and what was wrong was said once, with the reason."""
        for program in self._site.programs.values():
            assert program.process.poll() is None, program.text()[-3_000:]
        until(lambda: self.wrote("coordinator", OVER), "the coordinator says that it is over")
        said = self.wrote("coordinator", SAID)
        assert len(said) == 1, said
        assert names(said[0], why), said
        assert len(self.wrote("web", SAID)) <= 1
        for name in self._site.programs:
            assert not self.wrote(name, "Traceback")
            loud = self.wrote(name, " (WARNING|ERROR|CRITICAL) ")
            assert len(loud) <= 4, loud


def names(line: str, why: str) -> bool:
    """Whether one of the reasons is in the line."""
    return any(reason in line for reason in why.split("|"))


def survive(
    site: Site,
    server: Server,
    name: str,
    trouble: Callable[[Feed, Watch], None],
    why: str,
    *,
    padding: int = 0,
) -> Feed:
    """Tasks are submitted before, while and after there is trouble; all complete, once."""
    watch = Watch(site)
    with Feed(site, name, padding=padding) as feed:
        feed.until_accepted(20)
        # Some that run through it, and so many that the claimer is never without work.
        feed.submit_many(2, lasting_s=3)
        feed.submit_many(_BACKLOG)
        trouble(feed, watch)
        feed.until_accepted(20)
    feed.check(server)
    watch.check(why)
    return feed


#: Where a server is there and refuses, it does so at once: about two seconds.
_LONG_ENOUGH = 25


def until_felt(feed: Feed, watch: Watch, refusals: int) -> None:
    """Waits until the coordinator has said it, and the web has refused so often."""
    until(lambda: watch.wrote("coordinator", SAID), "the coordinator says what is wrong")
    before = len(feed.refused)
    until(lambda: len(feed.refused) >= before + refusals, "the web refuses")


def test_a_restart(site: Site, server: Server) -> None:
    def restart(feed: Feed, watch: Watch) -> None:
        server.cluster.stop()
        until_felt(feed, watch, 2)
        server.start()
        began = time.monotonic()
        feed.until_accepted(1)
        assert time.monotonic() - began < 10, "the web did not come back soon"

    feed = survive(site, server, "restart", restart, LOST)
    assert {answer.status for answer in feed.refused} == {503}


def test_kill_9_of_the_server(site: Site, server: Server) -> None:
    def kill(feed: Feed, watch: Watch) -> None:
        server.kill()
        until(lambda: watch.wrote("coordinator", SAID), "the coordinator says what is wrong")
        server.start()

    survive(site, server, "kill", kill, LOST)


def test_every_session_is_ended_once_a_second(site: Site, server: Server) -> None:
    def terminate(feed: Feed, watch: Watch) -> None:
        give_up, tick = time.monotonic() + _TERMINATE_S, threading.Event()
        with server.connect() as connection:
            while time.monotonic() < give_up:
                connection.execute(_TERMINATE)  # type: ignore[call-overload]
                tick.wait(1.0)
        assert feed.accepted

    survive(site, server, "terminate", terminate, LOST)


def test_idle_sessions_take_every_connection(site: Site, server: Server) -> None:
    def crowd(feed: Feed, watch: Watch) -> None:
        idle = [server.connect()]
        try:
            while not (watch.wrote("coordinator", SAID) and len(feed.refused) >= 2):
                try:
                    idle.append(server.connect())
                except psycopg.OperationalError:
                    # What the others still have is set free, and taken with the next turn.
                    mine = [each.info.backend_pid for each in idle]
                    idle[0].execute(f"{_TERMINATE} AND NOT pid = ANY (%s)", [mine])  # type: ignore[call-overload]
            assert len(idle) >= 95
        finally:
            for each in idle:
                each.close()

    survive(site, server, "crowd", crowd, f"too many clients|{LOST}")


def test_statements_are_cut_off_by_a_time_out(site: Site, server: Server) -> None:
    def hurry(feed: Feed, watch: Watch) -> None:
        server.ask("ALTER DATABASE taskmaster SET statement_timeout = '50ms'")
        try:
            with server.connect() as connection, connection.transaction():
                # What is sure to need longer.
                connection.execute("SET LOCAL statement_timeout = 0")
                connection.execute(_TERMINATE)  # type: ignore[call-overload]
                connection.execute("LOCK TABLE tasks_task IN ACCESS EXCLUSIVE MODE")
                until_felt(feed, watch, _LONG_ENOUGH)
        finally:
            server.ask("ALTER DATABASE taskmaster RESET statement_timeout")
            server.ask(_TERMINATE)

    survive(site, server, "hurry", hurry, f"statement timeout|{LOST}")


def test_the_server_turns_read_only(site: Site, server: Server) -> None:
    def freeze(feed: Feed, watch: Watch) -> None:
        server.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        server.ask("SELECT pg_reload_conf()")
        try:
            until_felt(feed, watch, _LONG_ENOUGH)
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
        # What has been stored already needs room, too, when it is executed.
        feed.submit_many(300, in_s=3)
        give_up = time.monotonic() + DEADLINE_S
        try:
            with ballast.open("wb", buffering=0) as file:
                while not (watch.wrote("coordinator", SAID) and feed.refused):
                    assert time.monotonic() < give_up, "nobody feels that the disk is full"
                    try:
                        file.write(bytes(65_536))
                    except OSError:
                        threading.Event().wait(0.05)
            until_felt(feed, watch, _LONG_ENOUGH)
        finally:
            ballast.unlink()
            # Where not even the log of changes had room, it has given up.
            server.start()

    survive(site, server, "full", fill, f"No space left|{LOST}", padding=1_500)
