"""Test how secrets get from process to process, and that their environments do not show them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskmaster.tasks.errors import ConfigurationError
from taskmaster.workers import python_process
from taskmaster.workers.security import private_process
from tests.ordinary_user import as_ordinary_user, needs_root

SECRETS = {
    "DATABASE_URL": "postgresql://me:hidden@here/db",
    "TASKMASTER_DATABASE_DIRECT_URL": "postgresql://me:hidden@there/db",
    "TASKMASTER_JOIN_TOKEN": "hidden",
    "TASKMASTER_SECRET_KEY": "hidden",
    "TASKMASTER_SHARDS": "north=postgresql://me:hidden@north/db",
    "TASKMASTER_TLS_KEY": "/hidden/key.pem",
}
OTHERS = {"HOME": "/nowhere", "TASKMASTER_TLS_CERT": "/etc/chain.pem"}
#: Prints its pid, its `os.environ`, what /proc shows of it, and its descriptors.
REPORT = """\
import json, os, sys
{first}
shown = open(f"/proc/{{os.getpid()}}/environ", "rb").read().decode()
fds = sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1]
print(json.dumps([os.getpid(), dict(os.environ), shown, fds, sys.argv]))
"""


def environment() -> dict[str, str]:
    return python_process.environment({"PATH": os.environ["PATH"], **OTHERS, **SECRETS})


def test_commands_see_no_secret_and_tasks_only_those_of_the_settings() -> None:
    given = {**OTHERS, **SECRETS}
    assert private_process.without_secrets(given) == OTHERS
    assert private_process.secrets_in(given).keys() == {*SECRETS, "TASKMASTER_TLS_CERT"}
    assert private_process.secrets_of_settings(given).keys() == {
        "DATABASE_URL",
        "TASKMASTER_SECRET_KEY",
    }
    assert private_process.secrets_of_workers(given).keys() == {
        "TASKMASTER_JOIN_TOKEN",
        "TASKMASTER_TLS_CERT",
        "TASKMASTER_TLS_KEY",
    }


def test_a_pipe_holds_secrets_of_any_text_until_they_are_read_once() -> None:
    fd = private_process.write_pipe({"A": "ä\n'\"\0", "B": ""})
    assert not os.get_inheritable(fd)
    assert private_process.read_pipe(fd) == {"A": "ä\n'\"\0", "B": ""}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_secrets_that_do_not_fit_a_pipe_are_refused_without_their_values() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigurationError, match="TASKMASTER_SHARDS are too long") as caught:
        private_process.write_pipe({"TASKMASTER_SHARDS": "hidden " * 20_000})
    assert "hidden" not in str(caught.value)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_supervisor_takes_its_own_secrets_out_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    own = private_process.take_own()
    settings = private_process.secrets_of_settings(SECRETS)
    assert own == {name: value for name, value in SECRETS.items() if name not in settings}
    assert private_process.secrets_in(os.environ) == settings


@needs_root
@pytest.mark.parametrize("as_module", [False, True])
def test_a_process_started_by_hand_restarts_with_its_pid_and_arguments(
    tmp_path: Path, as_module: bool
) -> None:
    first = (
        "from taskmaster.workers.security import private_process; private_process.restart(); "
        "private_process.restart()"
    )
    (tmp_path / "program.py").write_text(REPORT.format(first=first))
    program = ["-m", "program"] if as_module else ["program.py"]
    process = subprocess.Popen(
        [sys.executable, *program, "--port", "7"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
    )
    output, _ = process.communicate(timeout=60)
    pid, environ, shown, fds, argv = json.loads(output)
    assert (pid, argv[1:]) == (process.pid, ["--port", "7"])
    assert SECRETS.items() <= environ.items()
    assert "hidden" not in shown
    assert "HOME=/nowhere" in shown
    assert fds == [0, 1, 2]


@needs_root
def test_a_process_without_secrets_does_not_restart(tmp_path: Path) -> None:
    first = "from taskmaster.workers.security import private_process; private_process.restart()"
    (tmp_path / "program.py").write_text(
        "print('started', flush=True)\n" + REPORT.format(first=first)
    )
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=python_process.environment({"PATH": os.environ["PATH"]}),
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b"started") == 1


LOOK = """\
for each in environ maps fd cwd stat; do
    if head -c 1 /proc/$PPID/$each || ls /proc/$PPID/$each/; then echo "can read $each" >&3; fi
done 3>&1 >/dev/null 2>&1
"""


@needs_root
def test_a_process_with_its_secrets_is_closed_to_its_own_user() -> None:
    script = (
        "import os, subprocess; from taskmaster.workers.security import private_process\n"
        f"subprocess.run(['/bin/sh', '-c', {LOOK!r}])\n"
        "private_process.enter(); print(os.environ['TASKMASTER_JOIN_TOKEN'], flush=True)\n"
        f"subprocess.run(['/bin/sh', '-c', {LOOK!r}])\n"
    )
    public, fd = private_process.pass_on(environment(), SECRETS)
    try:
        done = subprocess.run(
            as_ordinary_user(sys.executable, "-c", script),
            env=public,
            pass_fds=[fd],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(fd)
    before = [f"can read {each}" for each in ("environ", "maps", "fd", "cwd", "stat")]
    assert done.stdout.splitlines() == [*before, "hidden", "can read stat"]
