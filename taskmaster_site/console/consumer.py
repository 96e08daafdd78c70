"""Serve the console of one reader: `ws/tasks/<id>/console/?attempt=&after=`.

A coroutine waits for changes of the task, so an idle console holds neither a thread nor a database
connection. A reader that acknowledges nothing gets at most four frames of output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from psycopg_pool import PoolTimeout

from taskmaster.taskmaster_site.console import actions, origin_auth
from taskmaster.taskmaster_site.console.backpressure import ConsoleBackpressure
from taskmaster.taskmaster_site.console.output_follower import Frame, OutputFollower
from taskmaster.taskmaster_site.console.snapshot import START, Cursor, read_snapshot
from taskmaster.taskmaster_site.live.reauthorize import user_of
from taskmaster.taskmaster_site.live.runtime import live
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.events.channels import Credential, StreamGrant
from taskmaster.tasks.ids import MAX_ID
from taskmaster.tasks.permissions import VIEW

log = logging.getLogger(__name__)

#: Close codes. Daphne can send only 1000 and codes that an application defines.
INVALID, ANONYMOUS, FORBIDDEN, UNKNOWN = 4400, 4401, 4403, 4404
TOO_BIG, TOO_MANY, FAILED, AWAY = 4413, 4429, 4500, 4503
#: Maximum size of a frame from the reader, in bytes. An acknowledgement is shorter.
_FROM_READER_MAX = 4_096
#: Number of answers within a period in seconds after which the console is closed as flooded. An
#: acknowledgement gets no answer.
_ANSWERS_MAX, _ANSWERS_S = 100, 10.0
#: Interval at which the task is read without a notification, in seconds.
_READ_S = 30.0
_RETRY_S = 1.0


@login_not_required
def needs_websocket(_request: HttpRequest, task_id: int) -> HttpResponse:
    """Answer 426 to a console request that opens no WebSocket."""
    return HttpResponse(
        f"The console of task {task_id} is a WebSocket, which an ASGI server serves.\n",
        status=426,
        content_type="text/plain; charset=utf-8",
        headers={"Upgrade": "websocket"},
    )


class Console(AsyncWebsocketConsumer):
    """Send the output of a task; receive acknowledgements, `cancel` and `retry`."""

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve one WebSocket."""
        self._backpressure = ConsoleBackpressure(receive, send)
        await super().__call__(scope, self._backpressure.receive, send)

    async def connect(self) -> None:
        """Admit the reader, or close with a code that gives the reason."""
        self._following: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._ended = False
        self._answered = deque[float](maxlen=_ANSWERS_MAX)
        if not origin_auth.is_same_origin(self.scope):
            await self.close()
            return
        # A browser learns the close code only of a connection that was accepted.
        await self.accept()
        self._task_id: int = self.scope["url_route"]["kwargs"]["task_id"]
        credential = origin_auth.credential(self.scope)
        code = await _refusal(credential)
        if credential is None or code is not None:
            await self.close(code or ANONYMOUS)
            return
        if self._task_id > MAX_ID:
            await self.close(UNKNOWN)
            return
        self._credential: Credential = credential
        try:
            self._follower = _follower_from(self.scope["query_string"])
        except InvalidField as error:
            await self._refuse(error)
            return
        self._following = asyncio.create_task(self._follow(), name="console")

    async def disconnect(self, code: int) -> None:
        """Stop following the task."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    # ---- from the reader --------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle a frame from the reader. An invalid frame gets an error and changes nothing."""
        if self._following is None or self._following.done():
            return
        if len(text_data or bytes_data or "") > _FROM_READER_MAX:
            await self._abort(TOO_BIG)
            return
        now = asyncio.get_running_loop().time()
        try:
            await self._apply(_parsed(text_data))
        except InvalidField as error:
            await self._answer(False, str(error))
        if len(self._answered) == _ANSWERS_MAX and now - self._answered[0] < _ANSWERS_S:
            await self._abort(TOO_MANY)

    async def _abort(self, code: int) -> None:
        """Close the connection and stop reading, because the reader may be flooding it."""
        if self._following is not None:
            self._following.cancel()
            self._following = None
        await self.close(code)
        self._backpressure.stop()

    async def _apply(self, frame: dict[str, Any]) -> None:
        """Apply a frame. Raises InvalidField."""
        kind = frame.get("type")
        if kind == "ack":
            self._follower.acknowledge(Cursor.parse("cursor", frame.get("cursor")))
            self._changed.set()
        elif kind in actions.ACTIONS:
            await self._answer(
                *await _in_thread(actions.apply, kind, self._task_id, self._credential)
            )
        else:
            raise InvalidField("type", f"must be ack, {' or '.join(actions.ACTIONS)}.")

    async def _answer(self, ok: bool, text: str) -> None:
        self._answered.append(asyncio.get_running_loop().time())
        await self._send({"type": "answer", "ok": ok, "text": text})

    # ---- to the reader ----------------------------------------------------------------------

    async def _follow(self) -> None:
        """Follow the task until the reader disconnects or loses access."""
        service = live()
        grant = StreamGrant(None, self._credential, [f"task-{self._task_id}"], {})
        unregister = service.reauthorizer.register(grant, self._end)
        try:
            async with service.subscribers.subscribed(self._task_id) as self._changed:
                while not self._ended:
                    self._changed.clear()
                    if await self._send_changes():
                        continue
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_READ_S):
                            await self._changed.wait()
            await self.close(await _refusal(self._credential) or FORBIDDEN)
        except InvalidField as error:
            await self._refuse(error)
        except LookupError:
            await self.close(UNKNOWN)
        except Exception:
            log.exception("console of task %s failed", self._task_id)
            await self.close(FAILED)
        finally:
            unregister()

    def _end(self) -> None:
        """Stop, because the reader's credential or permission is no longer valid."""
        self._ended = True
        self._changed.set()

    async def _send_changes(self) -> bool:
        """Read the task once and send the changes; return whether more output may be available.

        Raises InvalidField for an unknown attempt, and LookupError for an unknown task.
        """
        follower, with_output = self._follower, self._follower.has_capacity
        try:
            snapshot = await _in_thread(
                read_snapshot,
                self._task_id,
                follower.attempt,
                follower.cursor,
                status=follower.status,
                with_output=with_output,
            )
        except (DatabaseError, PoolTimeout):
            await asyncio.sleep(_RETRY_S)
            return True
        if snapshot is None:
            raise LookupError(self._task_id)
        for frame in follower.frames(snapshot, with_output=with_output):
            await self._send(frame)
        return follower.has_more

    async def _refuse(self, error: InvalidField) -> None:
        await self._answer(False, str(error))
        await self.close(INVALID)

    async def _send(self, frame: Frame) -> None:
        await self.send(text_data=json.dumps(frame, ensure_ascii=False, separators=(",", ":")))


async def _in_thread(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Run a blocking function in a free thread."""
    return await sync_to_async(work, thread_sensitive=False)(*arguments, **named)


async def _refusal(credential: Credential | None) -> int | None:
    """Return the close code for a reader without access, otherwise None."""
    return ANONYMOUS if credential is None else await _in_thread(_code, credential)


def _code(credential: Credential) -> int | None:
    try:
        user = user_of(*credential)
        if user is None or not user.is_active:
            return ANONYMOUS
        return None if user.has_perm(VIEW) else FORBIDDEN
    except (DatabaseError, PoolTimeout):
        return AWAY
    finally:
        connection.close()


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        frame = json.loads(text or "")
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict):
        raise InvalidField("frame", "must be a JSON object in a text frame.")
    return frame


def _follower_from(query: bytes) -> OutputFollower:
    """Parse the position at which the reader starts. Raises InvalidField."""
    try:
        given = parse_qs(query.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise InvalidField("query", "must be attempt and after, both optional.") from None
    for name in given:
        if name not in ("attempt", "after"):
            raise InvalidField(name, "is not a parameter; the parameters are attempt and after.")
    attempt, after = (given.get(name, [""])[-1] for name in ("attempt", "after"))
    if attempt and not re.fullmatch(r"[1-9]\d{0,8}", attempt, re.ASCII):
        raise InvalidField("attempt", "must be the number of an attempt, from 1.")
    return OutputFollower(
        int(attempt) if attempt else None,
        Cursor.parse("after", after) if after else START,
    )
