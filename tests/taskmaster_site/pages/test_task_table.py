"""The filter of the task table."""

from __future__ import annotations

import pytest
from django.http import QueryDict

from taskmaster.taskmaster_site.pages import task_table
from taskmaster.taskmaster_site.pages.task_table import TableFilter
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
    ids = stored(task_table.ROWS + 1)
    rows, remark = task_table.newest(TableFilter())
    assert ([row.pk for row in rows], remark) == (sorted(ids, reverse=True)[:-1], "")
    rows, remark = task_table.newest(TableFilter({"status": "nonsense"}))
    assert rows == []
    assert remark.startswith("status: ")
