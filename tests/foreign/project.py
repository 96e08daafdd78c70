"""Create a project with `startproject` in its own environment, with TaskMaster's wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.system.fleet import ROOT

OVERLAY = Path(__file__).with_name("overlay")
#: Time limit for pip, which installs everything from a registry, in seconds.
_INSTALL_S = 600


class Environment:
    """A virtual environment."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([python, "-m", "venv", str(folder)], check=True)

    @property
    def packages(self) -> Path:
        """Return its site-packages."""
        [found] = (self.python.parent.parent / "lib").glob("python*/site-packages")
        return found

    def borrow(self) -> None:
        """Make the packages of this environment importable without copying them."""
        here = sysconfig.get_path("purelib")
        (self.packages / "borrowed.pth").write_text(f"{here}\n")

    def install(self, *requirements: str) -> None:
        """Run pip. Raise CalledProcessError with its output."""
        pip = [str(self.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True, timeout=_INSTALL_S)


def build_wheel(folder: Path) -> Path:
    """Build the wheel from the checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120, stdout=subprocess.DEVNULL)
    [wheel] = folder.glob("*.whl")
    return wheel


class Project:
    """The shop, whose apps are called `tasks` and `workers`, like TaskMaster's folders."""

    def __init__(self, folder: Path, python: Path, database: str) -> None:
        self.folder = folder
        self.python = python
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "SHOP_DATABASE": database,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONUNBUFFERED": "1",
            # Without compiled files, every new file in the folder comes from TaskMaster.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def create(self) -> None:
        """Create it as in Django's tutorial, and copy the shop's own files over it."""
        self.folder.mkdir()
        self._run("-m", "django", "startproject", "shop", ".", DJANGO_SETTINGS_MODULE="")
        shutil.copytree(OVERLAY / "shop", self.folder / "shop", dirs_exist_ok=True)
        shutil.copytree(OVERLAY / "accounts", self.folder / "accounts")
        settings = self.folder / "shop" / "settings.py"
        whole = settings.read_text()
        # The apps do not exist yet: `startapp` requires that their names are free.
        settings.write_text(whole.replace('    "tasks",\n    "workers",\n', ""))
        for app in ("tasks", "workers"):
            self.manage("startapp", app)
        settings.write_text(whole)
        for name in ("tasks", "workers", "templates"):
            shutil.copytree(OVERLAY / name, self.folder / name, dirs_exist_ok=True)

    def manage(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run a command to its end and return what it printed."""
        return self._run(str(self.folder / "manage.py"), *arguments, cwd=cwd)

    def shell(self, code: str) -> str:
        """Run code in the project and return what it printed."""
        return self._run("-c", f"import django; django.setup()\n{code}").strip()

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a management command."""
        return [str(self.python), str(self.folder / "manage.py"), *arguments]

    def files(self) -> set[str]:
        """Return the path of every file of the project."""
        found = (each for each in self.folder.rglob("*") if each.is_file())
        return {str(each.relative_to(self.folder)) for each in found}

    def _run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> str:
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done.stdout
