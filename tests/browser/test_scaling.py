"""Scale a worker pool with the buttons of its card."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fleet import Fleet


@pytest.fixture(autouse=True)
def _scale_to_zero(fleet: Fleet) -> Iterator[None]:
    yield
    fleet.post("/api/workers/scale", {"count": 0})


def test_a_pool_is_scaled_from_its_card(
    page: Page, fleet: Fleet, photograph: Callable[[Page, str], None]
) -> None:
    card = page.locator("#pool-default")
    expect(card).to_contain_text("0 of 0")
    card.get_by_role("button", name="Scale default to 3").click()
    expect(card).to_contain_text("3 of 3")
    for number in (1, 2, 3):
        expect(page.locator(".worker", has_text=f"default-{number}")).to_be_visible()
    expect(page.locator(".log li", has_text="pool default: 0 → 3")).to_be_visible()

    # The input does not change while a user types, even if the pool is scaled elsewhere.
    count = card.get_by_label("Number of workers of default")
    count.fill("2")
    assert fleet.post("/api/workers/scale", {"count": 5}).status == 200
    expect(page.locator(".worker", has_text="default-5")).to_be_visible()
    expect(count).to_have_value("2")
    photograph(page, "scaling")
    card.get_by_role("button", name="Scale", exact=True).click()
    # The toast disappears after some seconds, which may be before the pool has shrunk.
    expect(page.locator(".toast", has_text="Pool default scaled to 2 workers.")).to_be_visible()
    expect(card).to_contain_text("2 of 2")
    expect(page.locator(".worker", has_text="default-5")).to_have_count(0)
