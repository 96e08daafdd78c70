"""The filter of the task table."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from taskmaster.taskmaster_site.pages import task_table
from taskmaster.taskmaster_site.pages.task_table import Position, TableFilter
from tests.factories import stored


def test_a_filter_is_read_from_a_query_string_and_written_back() -> None:
    table_filter = TableFilter.from_query(QueryDict("status=failed&queue=&q= mail &page=7"))
    assert table_filter == TableFilter({"status": "failed"}, "mail")
    assert table_filter.query == "?status=failed&q=mail"
    assert table_filter.status == "failed"
    assert TableFilter().query == ""


def test_a_long_search_is_cut() -> None:
    found = TableFilter.from_query(QueryDict(f"q={'x' * 1_000}"))
    assert len(found.search) == task_table.MAX_TEXT


@pytest.mark.django_db
def test_the_newest_tasks_come_first_and_an_invalid_filter_is_named() -> None:
    ids = stored(task_table.PAGE_ROWS + 1)
    page = task_table.read_page(TableFilter())
    assert ([row.pk for row in page.rows], page.remark) == (sorted(ids, reverse=True)[:-1], "")
    page = task_table.read_page(TableFilter({"status": "nonsense"}))
    assert page.rows == []
    assert page.remark.startswith("status: ")


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", Position()),
        ("before=7", Position(before=7)),
        ("after=7", Position(after=7)),
        ("before=7&after=9", Position(before=7)),
        ("before=x&after=-1", Position()),
    ],
)
def test_a_position_is_read_from_a_query_string(query: str, position: Position) -> None:
    assert Position.from_query(QueryDict(query)) == position


def test_filters_without_a_chip_or_a_field_are_shown_as_tags() -> None:
    table_filter = TableFilter({"status": "picked", "queue": "mail", "tag": "nightly"})
    assert table_filter.others == {"status": "picked", "queue": "mail", "tag": "nightly"}
    assert table_filter.without_field == {"status": "picked", "tag": "nightly"}
    assert TableFilter({"status": "started", "queue": "mail"}).others == {"queue": "mail"}
