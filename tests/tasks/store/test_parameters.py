"""Test the array literals of statements."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from taskmaster.tasks.store.parameters import columns

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)


@pytest.mark.django_db
def test_texts_of_any_kind_arrive_as_they_are() -> None:
    @given(st.lists(st.none() | texts | st.sampled_from(['"', "\\", "{,}", "NULL", "null", ""])))
    def arrive(values: list[str | None]) -> None:
        [literal] = columns(("texts",), [(value,) for value in values]).values()
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::text[]", [literal])
            assert cursor.fetchone() == (values,)

    arrive()


def test_a_megabyte_of_quotes_does_not_take_a_second() -> None:
    began = time.process_time()
    columns(("texts",), [('"\\' * 500_000,)])
    assert time.process_time() - began < 0.3
