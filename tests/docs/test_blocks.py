"""Run every code block of the documentation, except blocks whose page gives a reason not to.

A reader follows the quickstart for a new project, and with its processes all other pages. The
quickstart for an existing project and the output of the demo are tested in modules of their own,
which can run beside this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import EXISTING, FORMS, NEW, NOTES, PAGES, Block, blocks, check_form
from tests.docs.reader import PASSWORD, USER, Reader, database
from tests.postgres_plugin import ROOT
from tests.waiting import wait_until

OTHERS = [page for page in PAGES if page not in (NEW, EXISTING) and any(blocks(page))]
NOT_RUN = [block for page in PAGES for block in blocks(page) if block.note == "not run"]

pytestmark = pytest.mark.timeout(600)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Reader]:
    """Run the project of the quickstart, with its processes."""
    with database("taskmaster_test_docs") as server:
        reader = Reader(tmp_path_factory.mktemp("mysite"), server)
        try:
            reader.take_files(OTHERS)
            reader.follow(NEW, keep=True)
            wait_until(reader.web_runs, "the web answers")
            yield reader
            reader.close()
        finally:
            reader.kill()


def test_the_quickstart_for_a_new_project_ends_with_a_running_site(shop: Reader) -> None:
    shop.visitor.log_in("/login/", USER, PASSWORD)
    dashboard = shop.visitor.get("/")
    assert dashboard.status == 200
    assert "shop.tasks.resize" in dashboard.text


@pytest.mark.parametrize("page", OTHERS, ids=_name)
def test_every_block_of_a_page_has_the_documented_result(page: Path, shop: Reader) -> None:
    shop.follow(page)


def test_no_task_of_the_pages_fails(shop: Reader) -> None:
    def listed(status: str) -> list[dict[str, object]]:
        headers = {"Authorization": f"Token {shop.token()}"}
        found = shop.visitor.get(f"/api/tasks/?page_size=200&status={status}", **headers).json
        return [each for each in found["results"] if each["scheduled_at"] < "2026"]

    def pool() -> dict[str, object]:
        headers = {"Authorization": f"Token {shop.token()}"}
        found: dict[str, object] = shop.visitor.get("/api/pools/default/", **headers).json
        return found

    shop.visitor.send("/api/workers/scale/", {"count": 0, "pool": "default"}, shop.token())
    wait_until(lambda: not listed("pending,picked,started"), "the tasks of the pages end")
    assert listed("failed") == []
    wait_until(lambda: pool()["actual"] == 0, "the workers of the pool leave")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_block_has_a_kind_and_every_note_is_known(page: Path) -> None:
    for block in blocks(page):
        assert block.language in FORMS, f"{block.where}: no kind of block: {block.language!r}"
        assert block.note in ("", *NOTES), f"{block.where}: {block.note!r}; known: {NOTES}"


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.where)
def test_a_block_that_is_not_run_has_the_form_of_its_language(block: Block) -> None:
    check_form(block)
    pytest.skip(block.value)
