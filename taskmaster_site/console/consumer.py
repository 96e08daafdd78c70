"""The console of one reader: `/ws/tasks/<id>/console/?attempt=&after=`.

It waits in a coroutine for news of its task, and holds neither a thread nor a connection to the
database meanwhile. A reader that acknowledges nothing gets four frames of output and no more.
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
from django.db import DatabaseError, connection
from psycopg_pool import PoolTimeout

from taskmaster_site.console import cursor, visitor
from taskmaster_site.console.look import look
from taskmaster_site.console.pace import Pace
from taskmaster_site.console.steering import ACTIONS, steer
from taskmaster_site.console.tail import Frame, Tail
from taskmaster_site.console.visitor import Credential
from taskmaster_site.live.guard import user_of
from taskmaster_site.live.service import live
from tasks.errors import InvalidField
from tasks.events.grant import Grant
from tasks.ids import MAX_ID
from tasks.permissions import VIEW

log = logging.getLogger(__name__)

#: Close codes; daphne sends none but 1000 and those of an application.
INVALID, ANONYMOUS, FORBIDDEN, UNKNOWN = 4400, 4401, 4403, 4404
TOO_BIG, TOO_MANY, FAILED, AWAY = 4413, 4429, 4500, 4503
#: Of what a reader sends, in bytes: an acknowledgement is shorter.
_FROM_READER_MAX = 4_096
#: More answers than these in so many seconds are a flood's. An acknowledgement has none.
_ANSWERS_MAX, _ANSWERS_S = 100, 10.0
#: Without any news it looks this often.
_LOOK_S = 30.0
_RETRY_S = 1.0


class Console(AsyncWebsocketConsumer):
    """Sends what a task prints, and takes acknowledgements, `cancel` and `retry`."""

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serves one WebSocket."""
        self._pace = Pace(receive, send)
        await super().__call__(scope, self._pace.receive, send)

    async def connect(self) -> None:
        """Admits the reader; a close code says why not."""
        self._telling: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._over = False
        self._answered = deque[float](maxlen=_ANSWERS_MAX)
        if not visitor.comes_from_here(self.scope):
            await self.close()
            return
        # A browser is told the code of a connection that was accepted, and of no other.
        await self.accept()
        self._task_id: int = self.scope["url_route"]["kwargs"]["task_id"]
        credential = visitor.credential(self.scope)
        code = await _refusal(credential)
        if credential is None or code is not None:
            await self.close(code or ANONYMOUS)
            return
        if self._task_id > MAX_ID:
            await self.close(UNKNOWN)
            return
        self._credential: Credential = credential
        try:
            self._tail = _tail(self.scope["query_string"])
        except InvalidField as error:
            await self._refuse(error)
            return
        self._telling = asyncio.create_task(self._tell(), name="console")

    async def disconnect(self, code: int) -> None:
        """The reader has gone."""
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling

    # ---- what the reader says ---------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """A frame of the reader's; one that makes no sense changes nothing."""
        if self._telling is None or self._telling.done():
            return
        if len(text_data or bytes_data or "") > _FROM_READER_MAX:
            await self._shut(TOO_BIG)
            return
        now = asyncio.get_running_loop().time()
        try:
            await self._obey(_parsed(text_data))
        except InvalidField as error:
            await self._say(False, str(error))
        if len(self._answered) == _ANSWERS_MAX and now - self._answered[0] < _ANSWERS_S:
            await self._shut(TOO_MANY)

    async def _shut(self, code: int) -> None:
        """Ends it, and reads nothing more of what may be a flood."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        await self.close(code)
        self._pace.shut()

    async def _obey(self, frame: dict[str, Any]) -> None:
        """Raises InvalidField."""
        kind = frame.get("type")
        if kind == "ack":
            self._tail.shown(cursor.parse("cursor", frame.get("cursor")))
            self._news.set()
        elif kind in ACTIONS:
            await self._say(*await _aside(steer, kind, self._task_id, self._credential))
        else:
            raise InvalidField("type", f"must be ack, {' or '.join(ACTIONS)}.")

    async def _say(self, ok: bool, text: str) -> None:
        self._answered.append(asyncio.get_running_loop().time())
        await self._send({"type": "said", "ok": ok, "text": text})

    # ---- what it is told --------------------------------------------------------------------

    async def _tell(self) -> None:
        """Follows the task until the reader goes or may not read any more."""
        service = live()
        grant = Grant(None, self._credential, [f"task-{self._task_id}"], {})
        leave = service.guard.admit(grant, self._end)
        try:
            async with service.watchers.watching(self._task_id) as self._news:
                while not self._over:
                    self._news.clear()
                    if await self._turn():
                        continue
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await self._news.wait()
            await self.close(await _refusal(self._credential) or FORBIDDEN)
        except InvalidField as error:
            await self._refuse(error)
        except LookupError:
            await self.close(UNKNOWN)
        except Exception:
            log.exception("console of task %s failed", self._task_id)
            await self.close(FAILED)
        finally:
            leave()

    def _end(self) -> None:
        """The reader is not who it was, or may not read any more."""
        self._over = True
        self._news.set()

    async def _turn(self) -> bool:
        """Looks once and sends what there is; returns whether there may be more at once.

        Raises InvalidField when there is no such attempt, LookupError when there is no such task.
        """
        tail, room = self._tail, self._tail.room
        try:
            seen = await _aside(
                look, self._task_id, tail.attempt, tail.cursor, status=tail.status, room=room
            )
        except (DatabaseError, PoolTimeout):
            await asyncio.sleep(_RETRY_S)
            return True
        if seen is None:
            raise LookupError(self._task_id)
        for frame in tail.take(seen, room=room):
            await self._send(frame)
        return tail.hungry

    async def _refuse(self, error: InvalidField) -> None:
        await self._say(False, str(error))
        await self.close(INVALID)

    async def _send(self, frame: Frame) -> None:
        await self.send(text_data=json.dumps(frame, ensure_ascii=False, separators=(",", ":")))


async def _aside(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Runs what blocks in a thread that is free."""
    return await sync_to_async(work, thread_sensitive=False)(*arguments, **named)


async def _refusal(credential: Credential | None) -> int | None:
    """The close code for who may not read, None for who may."""
    return ANONYMOUS if credential is None else await _aside(_code, credential)


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


def _tail(query: bytes) -> Tail:
    """Where the reader wants to begin. Raises InvalidField."""
    try:
        given = parse_qs(query.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise InvalidField("query", "must be attempt and after, both optional.") from None
    for name in given:
        if name not in ("attempt", "after"):
            raise InvalidField(name, "is no parameter; there are attempt and after.")
    attempt, after = (given.get(name, [""])[-1] for name in ("attempt", "after"))
    if attempt and not re.fullmatch(r"[1-9]\d{0,8}", attempt, re.ASCII):
        raise InvalidField("attempt", "must be the number of an attempt, from 1.")
    return Tail(
        int(attempt) if attempt else None,
        cursor.parse("after", after) if after else cursor.START,
    )
