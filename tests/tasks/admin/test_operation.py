"""Test bulk operations in the admin: select, preview, confirm, follow."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from taskmaster.tasks import task_actions
from taskmaster.tasks.bulk import backfill, request, service
from taskmaster.tasks.models import Operation, Task
from tests.factories import stored
from tests.tasks.admin.pages import LIST, client, page
from tests.tasks.schedules.sample import created

pytestmark = pytest.mark.django_db

OPERATIONS = "/admin/taskmaster_tasks/operation/"
MAY = ("view_task", "change_task", "delete_task")


def select_action(
    browser: Client,
    action: str,
    ids: list[int] | None = None,
    *,
    query: str = "",
    follow: bool = True,
    **fields: str,
) -> Any:
    """Select rows, or everything that matches, and an action."""
    chosen = ids or list(Task.objects.values_list("pk", flat=True)[:1])
    across = {"select_across": "0" if ids else "1"}
    data = {"action": action, "_selected_action": [str(i) for i in chosen], **across, **fields}
    return browser.post(LIST + query, data, follow=follow)


def operation_url(operation: Operation, verb: str = "change") -> str:
    return f"{OPERATIONS}{operation.pk}/{verb}/"


def operation_of(username: str = "operator", **fields: object) -> Operation:
    """Return an operation of this user."""
    asked = request.parse({"action": "cancel", "filter": {}, **fields})
    user: Any = User.objects.get(username=username)
    return service.preview(asked, user)


def button(answer: Any) -> str:
    """Return the label of the confirm button."""
    found = re.search(r'form="confirm-operation"[^>]*>([^<]+)<', page(answer))
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("cancel", {}, "Cancel 2 tasks"),
        ("run_now", {}, ""),
        ("set_queue", {"queue": " mail "}, "Move 2 tasks to queue mail"),
        ("set_priority", {"priority": "-7"}, "Give 2 tasks priority -7"),
        ("retry", {}, "Retry 1 task"),
        ("delete", {}, "Delete 1 task"),
    ],
)
def test_selected_rows_are_previewed_without_a_change(
    action: str, fields: dict[str, str], message: str
) -> None:
    ids = stored(3)
    stored(5)
    task_actions.cancel(ids[0])
    answer = select_action(client(*MAY), action, ids, **fields)
    operation = Operation.objects.get()
    assert answer.redirect_chain[-1][0] == operation_url(operation)
    assert button(answer) == message
    assert ("No task would be changed" in page(answer)) == (not message)
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
def test_all_matching_tasks_are_those_of_the_list(
    query: str, filter_: dict[str, str], count: int
) -> None:
    stored(2)
    stored(1, queue="mail")
    stored(1, queue="mail", tags=("urgent",))
    browser = client(*MAY)
    answer = select_action(browser, "cancel", query=query)
    operation = Operation.objects.get()
    assert (operation.filter, operation.ids, operation.total) == (filter_, None, count)
    assert button(answer) == f"Cancel {count} task{'' if count == 1 else 's'}"
    listed = browser.get(LIST + query).context["cl"].result_count
    assert listed == count


def test_the_creation_filter_is_stored_as_a_timestamp() -> None:
    stored()
    before = timezone.now()
    select_action(client(*MAY), "cancel", query="?created=3600")
    [since] = (Operation.objects.get().filter or {}).values()
    age = before - timezone.datetime.fromisoformat(since)
    assert age.total_seconds() == pytest.approx(3600, abs=5)
    assert Operation.objects.get().total == 1


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("set_queue", {}, "queue"),
        ("set_queue", {"queue": "no spaces"}, "may contain only letters, digits"),
        ("set_priority", {"priority": "high"}, "must be a whole number from -100 to 100"),
        ("set_priority", {"priority": "101"}, "must be from -100 to 100"),
        ("retry", {"query": "?status=complete"}, "only failed and cancelled tasks can be retried"),
        ("cancel", {"query": "?created=soon"}, "must be a number of seconds"),
    ],
)
def test_invalid_choices_are_reported_and_start_no_operation(
    action: str, fields: dict[str, str], message: str
) -> None:
    stored()
    answer = select_action(client(*MAY), action, **fields)
    assert '<li class="error">' in page(answer)
    assert message in page(answer)
    assert not Operation.objects.exists()


def test_a_confirmed_operation_waits_for_a_coordinator() -> None:
    stored(2)
    browser = client(*MAY)
    operation = operation_of()
    answer = browser.post(operation_url(operation, "confirm"), follow=True)
    operation.refresh_from_db()
    assert operation.state == "queued"
    assert operation.confirmed_at
    assert "Waiting for a coordinator" in page(answer)
    assert button(answer) == ""
    again = browser.post(operation_url(operation, "confirm"), follow=True)
    assert f"Operation {operation.pk} is queued: only a preview can be confirmed." in page(again)


def test_progress_is_polled_until_the_operation_ends() -> None:
    stored(4)
    browser = client(*MAY)
    operation = operation_of()
    of_it = Operation.objects.filter(pk=operation.pk)
    of_it.update(state="running", done=1_000, total=4_000, refused={"is <b>": 2})
    shown = page(browser.get(operation_url(operation, "progress")))
    assert 'max="4000" value="1002"' in shown
    assert "<strong>1,000</strong> of 4,000 done, 2 refused" in shown
    assert "is &lt;b&gt;" in shown
    assert "data-active" in shown
    assert "Cancel operation" in shown
    of_it.update(state="complete", done=3_990)
    shown = page(browser.get(operation_url(operation, "progress")))
    assert "data-active" not in shown
    assert 'max="4000" value="4000"' in shown
    assert "<button" not in shown
    of_it.update(state="failed", error="Oh <i>no")
    assert "Oh &lt;i&gt;no" in page(browser.get(operation_url(operation)))


@pytest.mark.parametrize(
    ("state", "message"), [("preview", "Discard"), ("running", "Cancel operation")]
)
def test_an_operation_can_be_cancelled_from_its_page(state: str, message: str) -> None:
    stored()
    browser = client(*MAY)
    operation = operation_of()
    Operation.objects.update(state=state)
    assert message in page(browser.get(operation_url(operation)))
    answer = browser.post(operation_url(operation, "cancel"), follow=True)
    assert "Cancelled by operator" in page(answer)
    assert Operation.objects.get().state == "cancelled"
    again = browser.post(operation_url(operation, "cancel"), follow=True)
    assert "only operations that have not ended can be cancelled" in page(again)


def test_only_its_creator_can_confirm_a_preview() -> None:
    stored()
    browser = client(*MAY)
    other = User.objects.create_user("other", is_staff=True)
    other.user_permissions.set(Permission.objects.filter(codename__in=MAY))
    operation = operation_of("other")
    assert button(browser.get(operation_url(operation))) == ""
    refused = browser.post(operation_url(operation, "confirm"), follow=True)
    assert "Only its creator can confirm" in page(refused)
    assert Operation.objects.get().state == "preview"


def test_a_user_with_view_permission_only_has_no_actions_and_no_buttons() -> None:
    ids = stored()
    browser = client("view_task")
    shown = page(browser.get(LIST))
    assert 'name="action"' not in shown
    select_action(browser, "cancel", ids)
    assert not Operation.objects.exists()
    asked = request.parse({"action": "cancel", "filter": {}})
    operation = service.preview(asked, None)
    shown = page(browser.get(operation_url(operation)))
    assert "<button" not in shown.split('id="content-main"')[1].partition("<dialog")[0]
    refused = browser.post(operation_url(operation, "cancel"), follow=True)
    assert "This needs the permission taskmaster_tasks.change_task." in page(refused)
    assert Operation.objects.get().state == "preview"


def test_deleting_needs_its_own_permission() -> None:
    ids = stored()
    browser = client("view_task", "change_task")
    assert '<option value="delete">' not in page(browser.get(LIST))
    select_action(browser, "delete", ids)
    assert not Operation.objects.exists()


def test_a_user_without_permission_sees_no_operation() -> None:
    stored()
    operation = service.preview(request.parse({"action": "cancel", "filter": {}}), None)
    browser = client("add_task")
    for verb in ("change", "progress"):
        assert browser.get(operation_url(operation, verb)).status_code == 403
    for verb in ("confirm", "cancel"):
        assert browser.post(operation_url(operation, verb)).status_code == 403
        assert browser.get(operation_url(operation, verb)).status_code == 405
    assert browser.get(OPERATIONS).status_code == 403


def test_a_back_fill_is_shown_to_users_who_may_view_schedules() -> None:
    schedule = created(name="hourly-invoices", cron="0 * * * *", interval_s=None, anchor=None)
    operation = backfill.start(schedule, "2026-01-01T00:00", "2026-01-01T05:00", user=None)
    browser = client("view_task", "view_schedule", "run_schedule")
    assert "Back-fill 6 runs of schedule hourly-invoices" in page(browser.get(OPERATIONS))
    shown = page(browser.get(operation_url(operation)))
    assert "due from 2026-01-01T00:00:00+00:00 to 2026-01-01T05:00:00+00:00" in shown
    answer = browser.post(operation_url(operation, "cancel"), follow=True)
    assert "Cancelled by operator; runs that were already created stay." in page(answer)
    User.objects.all().delete()
    browser = client("view_task", "change_task")
    assert "hourly-invoices" not in page(browser.get(OPERATIONS))
    for verb in ("change", "progress"):
        assert browser.get(operation_url(operation, verb)).status_code == 404
    assert browser.post(operation_url(operation, "cancel")).status_code == 404


def test_an_unknown_operation() -> None:
    browser = client(*MAY)
    assert browser.get(f"{OPERATIONS}5/change/").status_code == 404
    assert browser.get(f"{OPERATIONS}5/progress/").status_code == 404
    assert browser.post(f"{OPERATIONS}5/confirm/").status_code == 404
    assert browser.get(f"{OPERATIONS}{10**30}/change/").status_code == 404


def test_the_list_of_operations_shows_state_and_user() -> None:
    stored(2, queue="mail")
    browser = client(*MAY)
    operation = operation_of(filter={"queue": "mail"})
    service.preview(request.parse({"action": "delete", "filter": {}}), None)
    shown = page(browser.get(OPERATIONS))
    assert "Cancel 2 tasks (queue=mail)" in shown
    assert "command line" in shown
    assert '<span class="mark pending">' in shown
    Operation.objects.filter(pk=operation.pk).update(state="running", done=1_284)
    shown = page(browser.get(f"{OPERATIONS}?state__exact=running"))
    assert "1,284" in shown
    assert "command line" not in shown


def test_the_page_links_to_the_tasks() -> None:
    stored(2, queue="mail")
    shown = page(client(*MAY).get(operation_url(operation_on_ids("mail"))))
    assert f'href="{LIST}?queue=mail"' in shown


def operation_on_ids(queue: str) -> Operation:
    return service.preview(request.parse({"action": "cancel", "filter": {"queue": queue}}), None)


def test_the_page_has_no_inline_script_or_style() -> None:
    stored()
    browser = client(*MAY)
    for shown in (browser.get(operation_url(operation_of())), browser.get(LIST)):
        content = page(shown).split('id="content-main"')[1]
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", content)
        assert "default-src 'self'" in shown["Content-Security-Policy"]


def test_a_preview_whose_count_timed_out_can_be_confirmed() -> None:
    browser = client(*MAY)
    operation = operation_of()
    Operation.objects.update(total=0, at_least=True)
    assert button(browser.get(operation_url(operation)))
