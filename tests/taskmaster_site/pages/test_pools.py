"""Test the card of a pool and its buttons."""

from __future__ import annotations

import pytest

from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.workers.models import WorkerPool
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def herons() -> WorkerPool:
    WorkerPool.objects.all().delete()
    return WorkerPool.objects.create(name="herons", desired=3, registered=2, draining=1, maximum=5)


def desired() -> int:
    return WorkerPool.objects.get().desired


def test_a_card_shows_the_workers_and_offers_sizes_within_the_bounds() -> None:
    card = FRAGMENTS["pools"]()
    assert "2<small> of 3</small>" in card
    assert "1 draining" in card
    assert 'aria-label="Scale herons to 3" aria-pressed="true"' in card
    assert "Scale herons to 5" in card
    assert "Scale herons to 10" not in card


def test_a_problem_is_shown_on_the_card() -> None:
    WorkerPool.objects.update(state="backing_off", error="no <Docker>", last_log="no module x")
    card = FRAGMENTS["pools"]()
    assert '<b class="failed">backing off</b>' in card
    assert "no &lt;Docker&gt;" in card
    assert "no module x</pre>" in card


def test_a_button_scales_and_offers_undo() -> None:
    browser = client("view_worker", "scale_pool")
    answer = press(browser, "/pools/herons/scale/5/")
    assert "Pool herons scaled to 5 workers." in text(answer)
    assert "/pools/herons/scale/3/" in text(answer)
    assert desired() == 5
    assert press(browser, "/pools/herons/scale/", count="1").status_code == 200
    assert desired() == 1


@pytest.mark.parametrize(
    ("url", "count", "status", "message"),
    [
        ("/pools/herons/scale/", "6", 400, "from 0 to 5"),
        ("/pools/herons/scale/", "2.5", 400, "from 0 to 5"),
        ("/pools/herons/scale/", "", 400, "from 0 to 5"),
        ("/pools/storks/scale/", "1", 404, "There is no pool storks."),
    ],
)
def test_an_invalid_request_is_explained_and_changes_nothing(
    url: str, count: str, status: int, message: str
) -> None:
    answer = press(client("view_worker", "scale_pool"), url, count=count)
    assert (answer.status_code, message in text(answer)) == (status, True)
    assert desired() == 3


def test_scaling_needs_its_permission() -> None:
    answer = press(client("view_worker", "change_worker"), "/pools/herons/scale/5/")
    assert answer.status_code == 403
    assert "taskmaster_workers.scale_pool" in text(answer)
    assert desired() == 3
