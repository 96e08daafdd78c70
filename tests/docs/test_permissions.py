"""Test that the documented table of permissions is the one of the code."""

from __future__ import annotations

import re

from taskmaster.roles import ROLES, TABLE
from tests.postgres_plugin import ROOT

PAGE = ROOT / "docs" / "reference" / "permissions.md"


def test_the_page_has_the_table_of_the_module() -> None:
    page = PAGE.read_text()
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    )
    assert head == ["to", "permission", *(role.removeprefix("TaskMaster ") for role in ROLES)]
    assert rows == [
        [
            grant.description,
            f"`{grant.permission}`",
            *("✓" if role in grant.roles else "" for role in ROLES),
        ]
        for grant in TABLE
    ]
    assert set(ROLES) <= set(re.findall(r"`(TaskMaster\s\w+)`", page.replace("\n", " ")))
