"""Follow the quickstart for an existing project in such a project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import EXISTING
from tests.docs.reader import Reader, database

pytestmark = pytest.mark.timeout(600)


def test_the_quickstart_for_an_existing_project_works_in_one(
    tmp_path: Path, django_db_setup: None
) -> None:
    with database("taskmaster_test_docs_existing") as server:
        reader = Reader(tmp_path, server, mount="/ops/taskmaster")
        _create_project(reader)
        reader.settings = "shop.settings"
        try:
            reader.follow(EXISTING)
        finally:
            reader.kill()


def _create_project(reader: Reader) -> None:
    """Create the project that exists before TaskMaster is added, with the model of the page."""

    def run(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments],
            cwd=reader.folder,
            env=reader.environment,
            check=True,
            capture_output=True,
        )

    folder = reader.folder
    run("-m", "django", "startproject", "shop", ".")
    run("manage.py", "startapp", "orders")
    with (folder / "shop" / "settings.py").open("a") as settings:
        settings.write('INSTALLED_APPS.append("orders")\n')
    (folder / "orders" / "models.py").write_text(
        "from django.db import models\n\n\n"
        "class Order(models.Model):\n"
        "    sku = models.CharField(max_length=40)\n"
        "    shipped = models.BooleanField(default=False)\n"
    )
    run("manage.py", "makemigrations", "orders")
