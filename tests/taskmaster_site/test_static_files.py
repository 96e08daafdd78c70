"""URLs of static files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import get_script_prefix, set_script_prefix

from taskmaster.taskmaster_site.static_files import PrefixedStorage


@pytest.fixture(autouse=True)
def _prefix() -> Iterator[None]:
    before = get_script_prefix()
    yield
    set_script_prefix(before)


def test_urls_follow_the_prefix_of_each_request() -> None:
    storage = PrefixedStorage(base_url="static/")
    for prefix in ("/", "/ops/"):
        set_script_prefix(prefix)
        assert storage.url("taskmaster/icon.svg") == f"{prefix}static/taskmaster/icon.svg"
