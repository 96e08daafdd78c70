"""Test a real launcher: what a command inherits, and what ends with it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from taskmaster.workers.daemon import messages, wire
from taskmaster.workers.daemon.fork_server import process_tree
from taskmaster.workers.daemon.messages import (
    CommandExit,
    CommandRefused,
    FromLauncher,
    KillProcess,
    SpawnCommand,
)
from tests.waiting import wait_until

#: Starts a process in a new session whose parents have ended, and prints its pid.
DAEMON = "(setsid sh -c 'sleep 987 & echo $!' &); sleep 0.2"


class Supervisor:
    """Hold the supervisor's end of a launcher's connection."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        self.control.settimeout(20)
        with theirs:
            self.pid = process_tree.start_launcher(theirs.fileno())
        self.output, self._writing = os.pipe()
        self._decoder = messages.launcher_events()

    def start(
        self, argv: list[str], cwd: str | None = None, env: dict[str, str] | None = None
    ) -> None:
        given = dict(os.environ) if env is None else env
        data = wire.encode([SpawnCommand(1, argv, cwd, given)])
        socket.send_fds(self.control, [data[:5]], [self._writing, self._writing])
        self.control.sendall(data[5:])

    def kill(self, grace_s: float) -> None:
        self.control.sendall(wire.encode([KillProcess(1, grace_s)]))

    def end(self) -> FromLauncher:
        """Return the end of the command."""
        while not (events := self._decoder.feed(self.control.recv(65_536))):
            pass
        [event] = events
        return event

    def run(self, script: str) -> FromLauncher:
        self.start(["/bin/sh", "-c", script])
        return self.end()

    def printed(self) -> str:
        return os.read(self.output, 65_536).decode()

    def close(self) -> None:
        self.control.close()
        os.waitpid(self.pid, 0)
        os.close(self.output)
        os.close(self._writing)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


def until_gone(pid: int) -> None:
    wait_until(lambda: not psutil.pid_exists(pid), f"process {pid} is gone", 10)


def test_commands_run_one_after_the_other(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(["/bin/sh", "-c", "pwd; exit 3"], str(tmp_path))
    assert supervisor.end() == CommandExit(1, 3, False)
    assert supervisor.printed() == f"{tmp_path}\n"
    assert supervisor.run("pwd; kill -SEGV $$") == CommandExit(1, -signal.SIGSEGV, False)
    assert supervisor.printed() == f"{Path.cwd()}\n"


def test_a_command_that_cannot_be_started_is_refused(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(["no-such-command"])
    assert supervisor.end() == CommandRefused(
        1, "no-such-command: No such file or directory", 127, False
    )
    supervisor.start(["true"], "/no/such/folder")
    assert supervisor.end() == CommandRefused(
        1, "/no/such/folder: No such file or directory", 127, False
    )
    supervisor.start([str(tmp_path)])
    assert supervisor.end() == CommandRefused(1, f"{tmp_path}: Permission denied", 126, False)
    assert supervisor.run("exit 0") == CommandExit(1, 0, False)


def test_a_name_is_searched_in_the_path_of_the_command(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    script = tmp_path / "greet"
    script.write_text("#!/bin/sh\necho $WHO\n")
    script.chmod(0o755)
    supervisor.start(["greet"], env={"PATH": f"/nowhere:{tmp_path}", "WHO": "löwe"})
    assert supervisor.end() == CommandExit(1, 0, False)
    assert supervisor.printed() == "löwe\n"


def test_a_command_inherits_nothing_of_the_launcher(supervisor: Supervisor) -> None:
    script = (
        "import os, signal; print(sorted(os.listdir('/proc/self/fd')), os.environ, os.getsid(0) == "
        "os.getpid(), [s for s in signal.valid_signals() if signal.getsignal(s) is signal.SIG_IGN],"
        "signal.pthread_sigmask(0, ()))"
    )
    supervisor.start([sys.executable, "-I", "-S", "-c", script], env={"LC_ALL": "C.UTF-8"})
    assert supervisor.end() == CommandExit(1, 0, False)
    # Descriptor 3 lists the folder. Python itself ignores SIGPIPE and SIGXFSZ.
    assert supervisor.printed() == (
        "['0', '1', '2', '3'] environ({'LC_ALL': 'C.UTF-8'}) True "
        "[<Signals.SIGPIPE: 13>, <Signals.SIGXFSZ: 25>] set()\n"
    )


def test_a_daemon_ends_with_its_command(supervisor: Supervisor) -> None:
    assert supervisor.run(DAEMON) == CommandExit(1, 0, False)
    daemon = int(supervisor.printed())
    assert not psutil.pid_exists(daemon)
    assert supervisor.run("exit 4") == CommandExit(1, 4, False)


def test_a_daemon_without_its_environment_ends_with_its_command(supervisor: Supervisor) -> None:
    supervisor.start(["env", "-i", "/bin/sh", "-c", DAEMON])
    assert supervisor.end() == CommandExit(1, 0, False)
    assert not psutil.pid_exists(int(supervisor.printed()))


def test_processes_that_fork_while_they_are_killed_end(supervisor: Supervisor) -> None:
    script = (
        "f() { (setsid sh -c 'while sleep 0.001; do :; done' &) ; }; for i in 1 2 3 4; do f; done"
    )
    assert supervisor.run(f"{script}; sleep 0.2") == CommandExit(1, 0, False)
    assert psutil.Process(supervisor.pid).children() == []


@pytest.mark.parametrize("grace_s", [0, 0.2])
def test_a_daemon_ends_with_its_killed_command(supervisor: Supervisor, grace_s: float) -> None:
    supervisor.start(["/bin/sh", "-c", f"{DAEMON}; trap '' TERM; echo; sleep 60; sleep 60"])
    daemon = int(supervisor.printed())
    assert supervisor.printed() == "\n"
    supervisor.kill(grace_s)
    assert supervisor.end() == CommandExit(1, -signal.SIGKILL, False)
    assert not psutil.pid_exists(daemon)


def test_sigterm_reaches_the_processes_that_have_left_the_session(supervisor: Supervisor) -> None:
    daemon = "trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.01; done"
    script = f'trap "sleep 0.3" TERM; (setsid sh -c "{daemon}" &); sleep 60 & wait; wait'
    supervisor.start(["/bin/sh", "-c", script])
    assert supervisor.printed() == "ready\n"
    supervisor.kill(5)
    supervisor.end()
    assert "asked\n" in supervisor.printed()


def test_everything_ends_with_the_supervisor(supervisor: Supervisor) -> None:
    supervisor.start(["/bin/sh", "-c", f"{DAEMON}; sleep 60"])
    daemon = int(supervisor.printed())
    supervisor.control.close()
    until_gone(daemon)


def test_everything_ends_with_the_fork_server() -> None:
    """The launcher of this test is the child of a process that is killed like a fork server."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    server = os.fork()
    if server == 0:
        process_tree.start_launcher(theirs.fileno())
        signal.pause()
        os._exit(0)
    data = wire.encode([SpawnCommand(1, ["/bin/sh", "-c", f"{DAEMON}; sleep 60"], None, {})])
    socket.send_fds(ours, [data], [writing, writing])
    daemon = int(os.read(reading, 100))
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    until_gone(daemon)
    for fd in (reading, writing):
        os.close(fd)
    ours.close()
    theirs.close()
