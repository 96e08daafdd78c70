"""Operations on many tasks from the admin: chosen in the list, previewed, confirmed, followed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from tasks import operations
from tasks.bulk import operate, wanted
from tasks.models import Operation, Task
from tests.tasks.admin.test_task import LIST, client, page
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db

OPERATIONS = "/admin/tasks/operation/"
MAY = ("view_task", "change_task", "delete_task")


def act(
    browser: Client,
    action: str,
    ids: list[int] | None = None,
    *,
    query: str = "",
    follow: bool = True,
    **fields: str,
) -> Any:
    """Chooses rows, or everything that matches, and an action."""
    chosen = ids or list(Task.objects.values_list("pk", flat=True)[:1])
    across = {"select_across": "0" if ids else "1"}
    data = {"action": action, "_selected_action": [str(i) for i in chosen], **across, **fields}
    return browser.post(LIST + query, data, follow=follow)


def address(operation: Operation, verb: str = "change") -> str:
    return f"{OPERATIONS}{operation.pk}/{verb}/"


def of(username: str = "operator", **fields: object) -> Operation:
    """An operation of this user."""
    asked = wanted.parse({"action": "cancel", "filter": {}, **fields})
    user: Any = User.objects.get(username=username)
    return operate.preview(asked, user)


def button(answer: Any) -> str:
    """The words on the button that confirms."""
    found = re.search(r'form="confirm-operation"[^>]*>([^<]+)<', page(answer))
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        ("cancel", {}, "Cancel 2 tasks"),
        ("run_now", {}, ""),
        ("set_queue", {"queue": " mail "}, "Move 2 tasks to queue mail"),
        ("set_priority", {"priority": "-7"}, "Give 2 tasks priority -7"),
        ("retry", {}, "Retry 1 task"),
        ("delete", {}, "Delete 1 task"),
    ],
)
def test_chosen_rows_are_previewed_and_nothing_happens(
    action: str, fields: dict[str, str], words: str
) -> None:
    ids = stored(3)
    stored(5)
    operations.cancel(ids[0])
    answer = act(client(*MAY), action, ids, **fields)
    operation = Operation.objects.get()
    assert answer.redirect_chain[-1][0] == address(operation)
    assert button(answer) == words
    assert ("No task would be changed" in page(answer)) == (not words)
    assert (operation.ids, operation.filter, operation.state) == (ids, None, "preview")
    assert operation.user == "operator"
    assert Task.objects.filter(status="pending", queue="default", priority=0).count() == 7


@pytest.mark.parametrize(
    ("query", "filter_", "count"),
    [
        ("", {}, 4),
        ("?queue=mail", {"queue": "mail"}, 2),
        ("?status=pending&queue=mail", {"status": "pending", "queue": "mail"}, 2),
        ("?q=urgent", {"q": "urgent"}, 1),
        ("?name=shell&q=urgent&o=1&p=1", {"name": "shell", "q": "urgent"}, 1),
    ],
)
def test_everything_that_matches_is_what_the_list_shows(
    query: str, filter_: dict[str, str], count: int
) -> None:
    stored(2)
    stored(1, queue="mail")
    stored(1, queue="mail", tags=("urgent",))
    browser = client(*MAY)
    answer = act(browser, "cancel", query=query)
    operation = Operation.objects.get()
    assert (operation.filter, operation.ids, operation.total) == (filter_, None, count)
    assert button(answer) == f"Cancel {count} task{'' if count == 1 else 's'}"
    listed = browser.get(LIST + query).context["cl"].result_count
    assert listed == count


def test_the_span_of_creation_becomes_a_moment() -> None:
    stored()
    before = timezone.now()
    act(client(*MAY), "cancel", query="?created=3600")
    [since] = (Operation.objects.get().filter or {}).values()
    age = before - timezone.datetime.fromisoformat(since)
    assert age.total_seconds() == pytest.approx(3600, abs=5)
    assert Operation.objects.get().total == 1


@pytest.mark.parametrize(
    ("action", "fields", "said"),
    [
        ("set_queue", {}, "queue"),
        ("set_queue", {"queue": "no spaces"}, "may hold letters, digits"),
        ("set_priority", {"priority": "high"}, "must be a whole number from -100 to 100"),
        ("set_priority", {"priority": "101"}, "must be from -100 to 100"),
        ("retry", {"query": "?status=complete"}, "only failed and cancelled tasks can be retried"),
        ("cancel", {"query": "?created=soon"}, "must be a number of seconds"),
    ],
)
def test_what_makes_no_sense_is_said_and_no_operation_begun(
    action: str, fields: dict[str, str], said: str
) -> None:
    stored()
    answer = act(client(*MAY), action, **fields)
    assert '<li class="error">' in page(answer)
    assert said in page(answer)
    assert not Operation.objects.exists()


def test_a_confirmed_operation_waits_for_a_coordinator() -> None:
    stored(2)
    browser = client(*MAY)
    operation = of()
    answer = browser.post(address(operation, "confirm"), follow=True)
    operation.refresh_from_db()
    assert operation.state == "queued"
    assert operation.confirmed_at
    assert "A coordinator begins with it" in page(answer)
    assert button(answer) == ""
    again = browser.post(address(operation, "confirm"), follow=True)
    assert f"Operation {operation.pk} is queued: it was confirmed or cancelled." in page(again)


def test_progress_is_shown_while_it_runs_and_stops_being_asked_for_at_the_end() -> None:
    stored(4)
    browser = client(*MAY)
    operation = of()
    of_it = Operation.objects.filter(pk=operation.pk)
    of_it.update(state="running", done=1_000, total=4_000, refused={"is <b>": 2})
    shown = page(browser.get(address(operation, "progress")))
    assert 'max="4000" value="1002"' in shown
    assert "<strong>1,000</strong> of 4,000 done, 2 refused" in shown
    assert "is &lt;b&gt;" in shown
    assert "data-active" in shown
    assert "Stop here" in shown
    of_it.update(state="complete", done=3_990)
    shown = page(browser.get(address(operation, "progress")))
    assert "data-active" not in shown
    assert 'max="4000" value="4000"' in shown
    assert "<button" not in shown
    of_it.update(state="failed", error="Oh <i>no")
    assert "Oh &lt;i&gt;no" in page(browser.get(address(operation)))


@pytest.mark.parametrize(("state", "words"), [("preview", "Discard"), ("running", "Stop here")])
def test_an_operation_is_stopped_from_its_page(state: str, words: str) -> None:
    stored()
    browser = client(*MAY)
    operation = of()
    Operation.objects.update(state=state)
    assert words in page(browser.get(address(operation)))
    answer = browser.post(address(operation, "cancel"), follow=True)
    assert "Cancelled by operator" in page(answer)
    assert Operation.objects.get().state == "cancelled"
    again = browser.post(address(operation, "cancel"), follow=True)
    assert "it cannot be cancelled any more" in page(again)


def test_a_preview_is_confirmed_by_who_made_it_alone() -> None:
    stored()
    browser = client(*MAY)
    other = User.objects.create_user("other", is_staff=True)
    other.user_permissions.set(Permission.objects.filter(codename__in=MAY))
    operation = of("other")
    assert button(browser.get(address(operation))) == ""
    refused = browser.post(address(operation, "confirm"), follow=True)
    assert "Only who has made it can confirm" in page(refused)
    assert Operation.objects.get().state == "preview"


def test_who_may_only_look_has_no_actions_and_no_buttons() -> None:
    ids = stored()
    browser = client("view_task")
    shown = page(browser.get(LIST))
    assert 'name="action"' not in shown
    act(browser, "cancel", ids)
    assert not Operation.objects.exists()
    asked = wanted.parse({"action": "cancel", "filter": {}})
    operation = operate.preview(asked, None)
    shown = page(browser.get(address(operation)))
    assert "<button" not in shown.split('id="content-main"')[1].partition("<dialog")[0]
    refused = browser.post(address(operation, "cancel"), follow=True)
    assert "This needs the permission tasks.change_task." in page(refused)
    assert Operation.objects.get().state == "preview"


def test_deleting_needs_its_own_permission() -> None:
    ids = stored()
    browser = client("view_task", "change_task")
    assert '<option value="delete">' not in page(browser.get(LIST))
    act(browser, "delete", ids)
    assert not Operation.objects.exists()


def test_a_stranger_sees_no_operation() -> None:
    stored()
    operation = operate.preview(wanted.parse({"action": "cancel", "filter": {}}), None)
    browser = client("add_task")
    for verb in ("change", "progress"):
        assert browser.get(address(operation, verb)).status_code == 403
    for verb in ("confirm", "cancel"):
        assert browser.post(address(operation, verb)).status_code == 403
        assert browser.get(address(operation, verb)).status_code == 405
    assert browser.get(OPERATIONS).status_code == 403


def test_an_operation_that_is_not_there() -> None:
    browser = client(*MAY)
    assert browser.get(f"{OPERATIONS}5/change/").status_code == 404
    assert browser.get(f"{OPERATIONS}5/progress/").status_code == 404
    assert browser.post(f"{OPERATIONS}5/confirm/").status_code == 404
    assert browser.get(f"{OPERATIONS}{10**30}/change/").status_code == 404


def test_the_list_of_operations_shows_states_and_who() -> None:
    stored(2, queue="mail")
    browser = client(*MAY)
    operation = of(filter={"queue": "mail"})
    operate.preview(wanted.parse({"action": "delete", "filter": {}}), None)
    shown = page(browser.get(OPERATIONS))
    assert "Cancel 2 tasks (queue=mail)" in shown
    assert "command line" in shown
    assert '<span class="mark pending">' in shown
    Operation.objects.filter(pk=operation.pk).update(state="running", done=1_284)
    shown = page(browser.get(f"{OPERATIONS}?state__exact=running"))
    assert "1,284" in shown
    assert "command line" not in shown


def test_the_page_leads_to_the_tasks() -> None:
    stored(2, queue="mail")
    shown = page(client(*MAY).get(address(of_named("mail"))))
    assert f'href="{LIST}?queue=mail"' in shown


def of_named(queue: str) -> Operation:
    return operate.preview(wanted.parse({"action": "cancel", "filter": {"queue": queue}}), None)


def test_no_script_and_no_style_stands_in_the_page() -> None:
    stored()
    browser = client(*MAY)
    for shown in (browser.get(address(of())), browser.get(LIST)):
        content = page(shown).split('id="content-main"')[1]
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", content)
        assert "default-src 'self'" in shown["Content-Security-Policy"]


def test_a_preview_that_could_not_count_to_the_first_can_be_confirmed() -> None:
    browser = client(*MAY)
    operation = of()
    Operation.objects.update(total=0, at_least=True)
    assert button(browser.get(address(operation)))
