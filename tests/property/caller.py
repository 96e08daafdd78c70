"""A user of every interface, to compare what goes in with what comes out."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from taskmaster.coordinator.rpc.task_messages import (
    parse_submission,
    parse_submissions,
    task_message,
)
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.enqueue import bulk, enqueue, new
from taskmaster.tasks.models import Task
from tests.factories import user_with
from tests.system import sample_tasks
from tests.tasks.admin.test_task import form
from tests.tasks.api.people import ALL, client_with

MODULE = sample_tasks.__name__
NAME = f"{MODULE}.echo"


class Caller:
    """A user of every interface. Each method submits arguments and returns the task's id."""

    def __init__(self) -> None:
        user = user_with(*ALL)
        user.is_staff = True
        user.save()
        self.rest: APIClient = client_with(*ALL)
        self.browser = Client()
        self.browser.force_login(user)

    def by_enqueue(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        return int(sample_tasks.echo.enqueue(*args, **kwargs).id)

    def by_bulk(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        return bulk([new(NAME, *args, task_kwargs=kwargs)])[0]

    def by_rest(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        return int(self._post("/api/tasks/", _body(args, kwargs))["id"])

    def by_rest_bulk(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        body = f'{{"tasks": [{_body(args, kwargs)}]}}'
        return int(self._post("/api/tasks/bulk/", body)["ids"][0])

    def _post(self, url: str, body: str) -> Any:
        answer = self.rest.post(url, body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        return answer.json()

    def by_grpc(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        sent = pb.SubmitTaskRequest.FromString(_request(args, kwargs).SerializeToString())
        return enqueue(parse_submission(sent))

    def by_grpc_bulk(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        sent = pb.SubmitTasksRequest(tasks=[_request(args, kwargs)])
        return bulk(parse_submissions(sent, 0))[0]

    def by_command_line(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        given = ("--args", json.dumps(args), "--kwargs", json.dumps(kwargs))
        return int(_run("submit", NAME, *given)["id"])

    def by_admin(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        fields = form(name=NAME, args=_dumps(args), kwargs=_dumps(kwargs))
        answer = self.browser.post("/admin/taskmaster_tasks/task/add/", fields)
        assert answer.status_code == 302, answer.content.decode()
        return int(Task.objects.latest("pk").pk)

    def by_form(self, args: list[Any], kwargs: dict[str, Any]) -> int:
        fields = {"name": NAME, "count": "1", "queue": "", "delay_s": ""}
        fields["arguments"] = _dumps(args) if args else _dumps(kwargs)
        answer = self.browser.post("/admin/taskmaster_tasks/task/create-many/", fields)
        assert answer.status_code == 302, answer.content.decode()
        return int(Task.objects.latest("pk").pk)

    # ---- what the interfaces show: args, kwargs and result -----------------------------------

    def shown(self, task_id: int) -> Iterator[tuple[str, list[Any]]]:
        """Yield the name of each interface with what it shows."""
        row = Task.objects.get(pk=task_id)
        yield "ORM", [row.args, row.kwargs, row.result]
        stored = sample_tasks.echo.get_result(str(task_id))
        yield "Django's Tasks API", [stored.args, stored.kwargs, stored.return_value]
        answer = json.loads(self.rest.get(f"/api/tasks/{task_id}/").content)
        yield "REST", [answer["args"], answer["kwargs"], answer["result"]]
        message = task_message(task_id)
        fields = (message.args_json, message.kwargs_json, message.result_json)
        yield "gRPC", [json.loads(text) for text in fields]
        answer = _run("show", str(task_id))
        yield "command line", [answer["args"], answer["kwargs"], answer["result"]]
        page = self.browser.get(f"/admin/taskmaster_tasks/task/{task_id}/change/").content.decode()
        yield "admin", _pre(page, '<pre class="json">')
        page = self.browser.get(f"/tasks/{task_id}/").content.decode()
        # The page leaves out empty arguments.
        call = iter(_pre(page, '<pre tabindex="0" aria-label="Arguments">'))
        args, kwargs = next(call) if row.args else [], next(call) if row.kwargs else {}
        result = _pre(page, '<pre id="result" tabindex="0" aria-label="Result">')
        yield "page", [args, kwargs, *call, *result]


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _body(args: list[Any], kwargs: dict[str, Any]) -> str:
    return _dumps({"name": NAME, "args": args, "kwargs": kwargs})


def _request(args: list[Any], kwargs: dict[str, Any]) -> pb.SubmitTaskRequest:
    given = {"args_json": _dumps(args), "kwargs_json": _dumps(kwargs)}
    return pb.SubmitTaskRequest(name=NAME, **given)


def _run(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("taskmaster", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def _pre(page: str, opening: str) -> list[Any]:
    found = re.findall(rf"{opening}(.*?)</pre>", page, re.DOTALL)
    return [json.loads(html.unescape(each)) for each in found]
