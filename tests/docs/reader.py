"""Follow a page as a reader would: write its files, run its commands, compare the output."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import django
import psutil
import psycopg
from django.db import connection

from tests.docs.blocks import RUN, Block, blocks, check_form
from tests.foreign.browser import Visitor
from tests.postgres_plugin import ROOT
from tests.system.fleet import free_port
from tests.waiting import wait_until

USER, PASSWORD = "admin", "correct-horse-battery"
#: Seconds for a command to end or to become ready. Long, because the machine may be busy.
_COMMAND_S = 150
#: Code that `manage.py shell` runs before the code of a block.
_SNIPPET = "import django\ndjango.setup()\n"


@contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """Create a database on the server of the suite; yield its settings. Dropped at the end."""
    part = connection.settings_dict
    server = {key: str(part[key.upper()]) for key in ("host", "port", "user", "password")}
    with psycopg.connect(**server, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name}")
        yield {**server, "name": name}
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Running:
    """Run a process of a page in its own session."""

    def __init__(self, block: Block, text: str, folder: Path, environment: dict[str, str]) -> None:
        self.block = block
        lines = text.rstrip().split("\n")
        # The process itself gets the signals, not the shell around it.
        script = "\n".join([*lines[:-1], f"exec {lines[-1]}"])
        with tempfile.NamedTemporaryFile("w", delete=False, suffix=".log") as log:
            self.log = Path(log.name)
            self.process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, condition: str) -> None:
        """Wait until it has printed a pattern, or until an address answers."""

        def holds() -> bool:
            if condition.startswith("http://"):
                found = _answers(condition)
            else:
                found = re.search(condition, self.output()) is not None
            assert found or self.process.poll() is None, self.failed()
            return found

        wait_until(holds, f"{self.block.where}: {condition}", _COMMAND_S)

    def failed(self) -> str:
        """Describe it for a failure."""
        return f"{self.block.where}: exit code {self.process.poll()}\n{self.output()}"

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl+C does; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(_COMMAND_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Ctrl+C does not end it; {self.failed()}") from None

    def kill(self) -> None:
        """End it with everything that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def remove(self) -> None:
        """Remove its log."""
        self.log.unlink(missing_ok=True)


class Reader:
    """Follow pages in a folder, with the processes that they start.

    `docs/contributing.md` lists the placeholders of the pages and their replacements.
    """

    def __init__(self, folder: Path, server: dict[str, str], mount: str = "") -> None:
        self.folder = folder
        self.mount = mount
        self.server = server
        self.running: list[Running] = []
        self.printed = ""
        #: The module of settings of the project in the folder.
        self.settings = ""
        self._kept: list[Running] = []
        self._token = ""
        #: Files of other pages, written before the first process starts.
        self._files: list[Block] = []
        self.web_port, self.grpc_port = free_port(), free_port()
        self._second_port, self._second_web_port = free_port(), free_port()
        self.visitor = Visitor(f"http://127.0.0.1:{self.web_port}")
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "CURL_HOME": str(folder),
            "DATABASE_URL": "postgresql://{user}:{password}@{host}:{port}/{name}".format(**server),
            "TASKMASTER_DATA_DIR": str(folder / "data"),
            "TASKMASTER_GRPC_PORT": str(self.grpc_port),
            "TASKMASTER_TASK_MODULES": "examples.tasks",
            "TASKMASTER_SHELL_TASKS": "on",
            "DJANGO_SUPERUSER_USERNAME": USER,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
        }

    # ---- pages ------------------------------------------------------------------------------

    def take_files(self, pages: Iterable[Path]) -> None:
        """Write the files of these pages before the first process starts, which loads them."""
        self._files += [each for page in pages for each in blocks(page) if each.file]

    def follow(self, page: Path, *, keep: bool = False) -> None:
        """Run or check every block of a page. Its processes end with it unless they are kept."""
        try:
            for block in blocks(page):
                self.do(block)
        finally:
            if keep:
                self._kept += self.running
                self.running = []
            else:
                self.stop(self.running)
                self.running = []

    def do(self, block: Block) -> None:
        """Run or check one block."""
        check_form(block)
        if block.language in RUN and block.note not in ("not run", "output of"):
            {"python": self._python, "sh": self._sh, "text": self._text}[block.language](block)

    def close(self) -> None:
        """End the processes that were kept, each with code 0 and without a traceback."""
        self.stop(self._kept)

    def stop(self, running: list[Running]) -> None:
        """Interrupt these processes, the newest first."""
        codes = {each.block.where: each.interrupt() for each in reversed(running)}
        logs = "\n".join(each.failed() for each in running)
        for each in running:
            each.remove()
        assert set(codes.values()) <= {0}, (codes, logs)
        assert "Traceback" not in logs, logs

    def kill(self) -> None:
        """End whatever a failed page has left, also workers of pools, which outlive all others."""
        for each in [*self.running, *self._kept]:
            each.kill()
            each.remove()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.folder):
                    process.kill()

    # ---- kinds of blocks --------------------------------------------------------------------

    def _python(self, block: Block) -> None:
        if block.file:
            if block not in self._files:
                self._write(block)
            return
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": self.settings}
        code = _SNIPPET + self._filled(block)
        self._run(block, [sys.executable, "-c", code], environment)

    def _write(self, block: Block) -> None:
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() if path.exists() else ""
        path.write_text(f"{before}\n{self._filled(block)}")
        if path.name == "settings.py":
            self.settings = block.file.removesuffix(".py").replace("/", ".")
        elif path.parent.name == "shop" and path.name not in ("tasks.py", "urls.py", "asgi.py"):
            modules = self.environment["TASKMASTER_TASK_MODULES"]
            module = block.file.removesuffix(".py").replace("/", ".")
            self.environment["TASKMASTER_TASK_MODULES"] = f"{modules},{module}"

    def _sh(self, block: Block) -> None:
        text = self._filled(block)
        if block.note in ("keeps running", "stops after"):
            if not self._kept and not self.running:
                for each in self._files:
                    self._write(each)
            running = Running(block, self._filled(block), self.folder, self.environment)
            self.running.append(running)
            running.wait_until(
                block.value.replace("localhost:8000", f"127.0.0.1:{self._second_web_port}")
            )
            if block.note == "stops after":
                self.running.remove(running)
                self.stop([running])
        elif block.note == "each line stops after":
            for line in text.strip().split("\n"):
                running = Running(block, line, self.folder, self._shell_environment())
                try:
                    running.wait_until(block.value)
                finally:
                    running.kill()
                    running.remove()
        else:
            command = ["bash", "-euo", "pipefail", "-c", text]
            self.printed = self._run(block, command, self._shell_environment())

    def _text(self, block: Block) -> None:
        """Compare with the output of the previous block: `…` matches any text."""
        printed = iter(self.printed.splitlines())
        for line in block.text.splitlines():
            pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
            found = any(pattern.fullmatch(each.rstrip()) for each in printed)
            assert found, f"{block.where}: {line!r} is not in what was printed:\n{self.printed}"

    def _run(self, block: Block, command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, (
            f"{block.where}: exit code {done.returncode}\n{block.text}\n{done.stdout}"
        )
        return done.stdout

    # ---- placeholders -----------------------------------------------------------------------

    def _shell_environment(self) -> dict[str, str]:
        # Most pages use $TOKEN without repeating how to create it.
        return {**self.environment, **({"TOKEN": self.token()} if self.settings else {})}

    def _filled(self, block: Block) -> str:
        """Return the text of a block with values in place of its placeholders."""
        return self._FILL[block.language](self, block.text)

    def _fill_python(self, text: str) -> str:
        for key, example in (
            ("PORT", "5432"),
            ("HOST", '"127.0.0.1"'),
            ("NAME", '"shop"'),
            ("USER", '"shop"'),
            ("PASSWORD", '"secret"'),
        ):
            text = text.replace(f'"{key}": {example}', f'"{key}": {self.server[key.lower()]!r}')
        if django.VERSION >= (6, 0):
            text = re.sub(r"(?m)^.*# only before Django 6\n", "", text)
        text = text.replace("    # … and yours\n", "    *INSTALLED_APPS,\n")
        text = text.replace("    # …\n", "    *urlpatterns,\n")
        text = text.replace('using="north"', 'using="default"')
        text = text.replace("127.0.0.1:50051", f"127.0.0.1:{self.grpc_port}")
        return text.replace('token = "…"', f'token = "{self.token()}"') if '"…"' in text else text

    def _fill_shell(self, text: str) -> str:
        fills: list[tuple[str, Callable[[], str]]] = [
            (r"(?<=-p )8000|(?<=port=)8000", lambda: str(self._second_web_port)),
            (r"\b(?:localhost|127\.0\.0\.1):8000\b", lambda: f"127.0.0.1:{self.web_port}"),
            (r"(?<=127\.0\.0\.1:)50051", lambda: str(self.grpc_port)),
            (r"\b50052\b", lambda: str(self._second_port)),
            # A second address of this machine.
            (r"\b10\.0\.0\.5:50051\b", lambda: f"127.0.0.2:{self.grpc_port}"),
            (r"\b10\.0\.0\.5\b", lambda: "127.0.0.2"),
            (r"(?<=password=)…", lambda: PASSWORD),
            (r"tmjoin_…", self._join_token),
            (r"\bID\b", self._waiting_task),
            (r"\bSCHEDULE\b", self._schedule),
            (r"\bWORKER\b", self._spare_worker),
            (r"manage\.py createsuperuser", lambda: "manage.py createsuperuser --noinput"),
            (
                r"manage\.py runserver",
                lambda: f"manage.py runserver --noreload 127.0.0.1:{self.web_port}",
            ),
        ]
        for pattern, value in fills:
            if re.search(pattern, text):
                filled = value()
                text = re.sub(pattern, lambda _, filled=filled: filled, text)  # type: ignore[misc]
        return text

    _FILL: dict[str, Callable[[Reader, str], str]] = {"python": _fill_python, "sh": _fill_shell}

    def token(self) -> str:
        """Return the token of the administrator, or an empty text until the web answers."""
        if not self._token and self.web_runs():
            who = {"username": USER, "password": PASSWORD}
            self._token = self.visitor.send(f"{self.mount}/api/token/", who, "").json["token"]
        return self._token

    def web_runs(self) -> bool:
        """Return whether the web of the pages answers."""
        return _answers(f"http://127.0.0.1:{self.web_port}{self.mount}/healthz")

    def _join_token(self) -> str:
        found = re.search(r"tmjoin_\S+", self.printed)
        assert found, "no block before has printed a join token"
        return found[0]

    def _waiting_task(self) -> str:
        """Return the id of a new task that is not due yet."""
        task = {"name": "shop.tasks.resize", "args": [1], "scheduled_at": "2099-01-01T00:00:00Z"}
        return str(self.visitor.send(f"{self.mount}/api/tasks/", task, self.token()).json["id"])

    def _schedule(self) -> str:
        """Return the id of a new schedule that is due once an hour."""
        fields = {"name": f"hourly-{uuid4().hex}", "cron": "0 * * * *"}
        call = {"task": "shop.tasks.resize", "args": [1]}
        where = f"{self.mount}/api/schedules/"
        return str(self.visitor.send(where, {**fields, **call}, self.token()).json["id"])

    def _spare_worker(self) -> str:
        """Start a worker that the page may stop; return its name."""
        text = "python manage.py runworker --concurrency 1 --name spare\n"
        block = Block(ROOT / "tests" / "docs" / "reader.py", 0, "sh", text)
        spare = Running(block, text, self.folder, self.environment)
        self.running.append(spare)
        spare.wait_until("worker ready")
        return "spare"
