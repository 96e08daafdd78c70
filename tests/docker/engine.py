"""Find a running Docker engine to test with, or start one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.postgres_plugin import ROOT

_DATA = ROOT / ".data" / "docker"
_START_S = 30.0
_BRIDGE = "docker0"
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


class NoEngine(Exception):
    """There is no engine; the message says why, and how to get one."""


def call(
    argv: Sequence[str], environment: Mapping[str, str] | None = None, **options: object
) -> str:
    """Run a command and return its output. Raise AssertionError with its output if it fails."""
    done = subprocess.run(
        argv,
        env=dict(environment or os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return str(done.stdout).strip()


def engine_answers(environment: Mapping[str, str]) -> bool:
    """Return whether an engine answers."""
    with contextlib.suppress(OSError, AssertionError, subprocess.TimeoutExpired):
        call(["docker", "version", "--format", "{{.Server.Version}}"], environment)
        return True
    return False


@contextlib.contextmanager
def running_engine() -> Iterator[dict[str, str]]:
    """Yield an environment in which `docker` finds an engine. Raise NoEngine."""
    environment = dict(os.environ)
    if shutil.which("docker") is None:
        raise NoEngine("docker is not installed (on Debian: apt-get install docker.io)")
    if engine_answers(environment):
        yield environment
        return
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and only root can start one")
    if shutil.which("dockerd") is None:
        raise NoEngine("no Docker engine answers, and dockerd is not installed (docker.io)")
    # Paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="taskmaster-docker-"))
    environment["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    rules, forward = _rules(), _FORWARD.read_text()
    daemon = _start(folder)
    try:
        deadline = time.monotonic() + _START_S
        while not engine_answers(environment):
            if daemon.poll() is not None or time.monotonic() > deadline:
                log = (_DATA / "dockerd.log").read_text()[-2000:]
                raise NoEngine(f"dockerd does not start here: {log}")
            time.sleep(0.2)
        yield environment
    finally:
        _stop(daemon, environment)
        _restore(rules, forward)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    _DATA.mkdir(parents=True, exist_ok=True)
    with (_DATA / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            [
                "dockerd",
                f"--data-root={_DATA / 'data'}",
                f"--exec-root={folder / 'exec'}",
                f"--host=unix://{folder}/docker.sock",
                f"--pidfile={folder / 'pid'}",
                "--storage-driver=overlay2",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(daemon: subprocess.Popen[bytes], environment: Mapping[str, str]) -> None:
    with contextlib.suppress(AssertionError):
        if left := call(["docker", "ps", "--all", "--quiet"], environment).split():
            call(["docker", "rm", "--force", *left], environment)
        call(["docker", "network", "prune", "--force"], environment)
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait(10)


def _rules() -> str:
    return call(["iptables-save"])


def _restore(rules: str, forward: str) -> None:
    """Restore the iptables rules and the forwarding policy from before the engine."""
    subprocess.run(["ip", "link", "delete", _BRIDGE], check=False, capture_output=True)
    for table in ("filter", "nat"):
        if f"*{table}" in rules:
            continue
        for chain in ("INPUT", "FORWARD", "OUTPUT") if table == "filter" else ():
            call(["iptables", "-t", table, "-P", chain, "ACCEPT"])
        call(["iptables", "-t", table, "-F"])
        call(["iptables", "-t", table, "-X"])
    if rules:
        call(["iptables-restore"], input=rules + "\n")
    _FORWARD.write_text(forward)
