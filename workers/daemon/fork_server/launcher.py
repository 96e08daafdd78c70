"""Run the commands of one slot, one after the other, and end everything that each one started.

The fork server executes this file with `python -I -S`. It imports a few modules of the standard
library and nothing else, so that the process is small and starts a command fast. It reads
`SpawnCommand` and `KillProcess`, and sends `CommandExit` and `CommandRefused`, in the encoding of
`taskmaster.workers.daemon.wire`.

The fork server has made this process a subreaper: a process that a command started becomes a child
of this process when it loses its parent, even if it has left the session of the command. When the
command has ended, all children that remain are leftovers. They are killed before the end of the
command is reported. When the supervisor or the fork server dies, the command and its leftovers are
killed as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

_LENGTH = struct.Struct("!I")
_READ = 262_144
#: Descriptors of one request: stdout and stderr.
_FDS = 2
#: A leftover that has not ended by then is blocked in the kernel, or belongs to another user.
LEFTOVERS_S = 3.0
#: Leftovers are killed again after this time, because the first signal may have met a fork.
KILL_AGAIN_S = 0.02
_PR_SET_DUMPABLE = 4
#: Exit codes of a shell for a command that it cannot start.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: Errors of a command that is too large for Linux.
_TOO_LARGE = (errno.E2BIG, errno.ENAMETOOLONG)
#: Signals that have their default dispositions in a command. Python itself ignores SIGPIPE.
_DEFAULT = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class Launcher:
    """Serve the requests of the supervisor."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = bytearray()
        self._fds: list[int] = []
        #: Id and pid of the command. The pid is 0 while no command runs.
        self._id = 0
        self._pid = 0
        #: Time of SIGKILL on the monotonic clock. None: no kill was requested.
        self._kill_at: float | None = None
        #: Exit code of the command whose leftovers are being killed, and the time to give up.
        self._code: int | None = None
        self._give_up_at = 0.0
        self._terminated = False
        self._home = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        #: A signal writes to `_woken`, which makes `_wake` readable and ends the wait of `poll`.
        self._wake, self._woken = os.pipe()
        self._poll = select.poll()

    def run(self) -> None:
        """Serve until the supervisor or the fork server is gone, or leftovers cannot be killed."""
        for fd in (self._wake, self._woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        # The kernel sends SIGTERM when the fork server dies. The supervisor handles the signals to
        # a whole service or terminal.
        signal.signal(signal.SIGTERM, self._terminate)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        try:
            while self._iterate():
                pass
        finally:
            if self._pid:
                signal_group(self._pid, signal.SIGKILL)
            end_children((), LEFTOVERS_S)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def _iterate(self) -> bool:
        """Wait for an event and handle it. Return False when this process must exit."""
        ready = {fd for fd, _ in self._poll.poll(self._timeout_ms())}
        if self._wake in ready:
            os.read(self._wake, 4_096)
        if self._pid:
            self._reap()
            self._kill_overdue()
        if self._terminated or not self._end_leftovers():
            return False
        return self._control.fileno() not in ready or self._receive()

    def _timeout_ms(self) -> float | None:
        if self._code is not None:
            return KILL_AGAIN_S * 1_000
        if self._pid and self._kill_at is not None:
            return max(0.0, self._kill_at - time.monotonic()) * 1_000
        return None

    # ---- requests ---------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Read and execute requests. Return False when the supervisor is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _READ, _FDS)
        except ConnectionResetError:
            return False
        for fd in fds:
            # A command inherits its own stdout and stderr only.
            os.set_inheritable(fd, False)
        self._fds += fds
        self._buffer += data
        for fields in self._requests():
            if fields[-1] == "kill":
                self._kill(*fields[:-1])
            else:
                self._spawn(*fields[:-1])
        return bool(data)

    def _requests(self) -> Iterator[list[Any]]:
        """Yield the complete requests of the buffer, each as the list of its fields."""
        buffer = self._buffer
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + _LENGTH.unpack_from(buffer)[0]):
            frame = json.loads(buffer[4:end])
            del buffer[:end]
            yield from frame

    def _send(self, *fields: object) -> None:
        body = json.dumps([fields]).encode()
        # Without a supervisor the next read ends this process.
        with contextlib.suppress(OSError):
            self._control.sendall(_LENGTH.pack(len(body)) + body)

    def _spawn(self, ident: int, argv: list[str], cwd: str | None, env: dict[str, str]) -> None:
        fds, self._fds = self._fds, []
        try:
            self._pid = _start(argv, cwd, env, fds)
            self._id, self._kill_at = ident, None
        except OSError as error:
            final = error.errno in _TOO_LARGE
            self._send(ident, *refusal(error), final, "command refused")
        finally:
            for fd in fds:
                os.close(fd)
            if cwd is not None:
                os.fchdir(self._home)

    def _kill(self, ident: int, grace_s: float) -> None:
        """End the command and its descendants: SIGTERM, then SIGKILL after the grace."""
        if not self._pid or ident != self._id:
            return
        if self._kill_at is None and grace_s > 0:
            signal_group(self._pid, signal.SIGTERM)
            for pid in _descendants():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if os.getpgid(pid) != self._pid:
                        os.kill(pid, signal.SIGTERM)
        self._kill_at = time.monotonic() + grace_s
        self._kill_overdue()

    # ---- end of a command -------------------------------------------------------------------

    def _reap(self) -> None:
        """Collect ended processes, and kill the group of the command when it has ended."""
        while (info := ended_child()) is not None:
            command = info.si_pid == self._pid
            if command:
                # While the command is a zombie its pid is not reused, so its group can be killed
                # safely.
                signal_group(self._pid, signal.SIGKILL)
            _, status = os.waitpid(info.si_pid, 0)
            if command:
                self._pid, self._code = 0, os.waitstatus_to_exitcode(status)
                self._give_up_at = time.monotonic() + LEFTOVERS_S
                return

    def _kill_overdue(self) -> None:
        """Send SIGKILL to the command and all other children if the grace is over."""
        if self._pid and self._kill_at is not None and self._kill_at <= time.monotonic():
            signal_group(self._pid, signal.SIGKILL)
            # `_reap` collects the command itself.
            kill_children((self._pid,))
            self._kill_at = time.monotonic() + KILL_AGAIN_S

    def _end_leftovers(self) -> bool:
        """Kill the leftovers of an ended command, and report its end when none is left.

        Return False when they cannot be killed. The command is then reported, and this process must
        exit, because later commands could not be distinguished from the leftovers.
        """
        if self._code is None:
            return True
        left = _has_children() and kill_children(())
        given_up = left and time.monotonic() > self._give_up_at
        if not left or given_up:
            self._send(self._id, self._code, given_up, "ended")
            self._code = None
        return not given_up


def _start(argv: list[str], cwd: str | None, env: Mapping[str, str], fds: Sequence[int]) -> int:
    """Start a command in its own session and return its pid. Leave this process in `cwd`.

    Raises OSError when the command or its folder cannot be used. `filename` names the one that
    failed.
    """
    if cwd is not None:
        os.chdir(cwd)
    actions = [(os.POSIX_SPAWN_DUP2, fd, stream) for stream, fd in enumerate(fds, start=1)]
    number = errno.ENOENT
    for path in _candidates(argv[0], env):
        try:
            return os.posix_spawn(
                path,
                argv,
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULT,
            )
        except ValueError:
            number = errno.EINVAL
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            # Later folders may hold an executable file of this name.
            number = error.errno or errno.EINVAL
    raise OSError(number, os.strerror(number), argv[0])


def _candidates(command: str, env: Mapping[str, str]) -> list[str]:
    """Return the paths of a command. A name is searched in the PATH of its environment."""
    if "/" in command:
        return [command]
    paths = [os.path.join(folder, command) for folder in os.get_exec_path(env)]
    return [path for path in paths if os.access(path, os.F_OK)]


def refusal(error: OSError) -> tuple[str, int]:
    """Return a message and a shell's exit code for a process that could not be started."""
    code = _NOT_FOUND if error.errno == errno.ENOENT else _NOT_EXECUTABLE
    reason = error.strerror or str(error)
    return (f"{error.filename}: {reason}" if error.filename else reason), code


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the group that `pid` leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_children(keep: Container[int], within_s: float) -> bool:
    """Kill the children of this process, and those that they leave, until none is left.

    Those in `keep` stay. Return False if others are left after `within_s`.
    """
    deadline = time.monotonic() + within_s
    while kill_children(keep):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def kill_children(keep: Container[int]) -> bool:
    """Kill the children of this process that are not in `keep`. Return whether any are left.

    The children of a killed child become children of this process, if it is a subreaper.
    """
    left = False
    for pid in child_pids():
        if pid not in keep:
            # It is a child that has not been reaped, so its pid is not reused.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            left = True
    return left


def child_pids(parent: int | None = None) -> list[int]:
    """Return the children of a process, by default of this one, including ended ones."""
    own = parent or os.getpid()
    pids: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{own}/task"):
            with (
                contextlib.suppress(ProcessLookupError),
                open(f"/proc/{own}/task/{thread}/children", encoding="ascii") as file,
            ):
                pids += map(int, file.read().split())
    except OSError:
        # The kernel was built without this file, or a thread has ended.
        return [pid for pid, each in _parents().items() if each == own]
    return pids


def _parents() -> dict[int, int]:
    """Return the parent of every process."""
    parents = {}
    names = os.listdir("/proc") if os.path.isdir("/proc") else []
    for name in filter(str.isdecimal, names):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            # The name in parentheses may contain anything.
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return parents


def _descendants() -> list[int]:
    """Return all descendants of this process, parents first."""
    parents = _parents()
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def ended_child() -> os.waitid_result | None:
    """Return a child that has ended and is not reaped yet, if there is one."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _has_children() -> bool:
    """Return whether this process has a child, running or ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def hide() -> None:
    """Close the memory and the descriptors of this process to the commands of its user.

    The same as `taskmaster.workers.security.private_process.hide`.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main(fd: int) -> None:
    """Serve the supervisor at the other end of the socket `fd`."""
    # A library of the fork server may have opened descriptors that survive an exec.
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        if int(name) > 2 and int(name) != fd:
            with contextlib.suppress(OSError):
                os.close(int(name))
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    hide()
    Launcher(control).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
