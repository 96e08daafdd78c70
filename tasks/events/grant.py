"""The permission to read a stream, handed from the view that checked it to the ASGI application.

A stream in a view would pin a thread, and a database connection with it, for as long as it is open.
So the view only decides; the application streams when the view is done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

#: Where the view leaves the grant in the ASGI scope.
SCOPE_KEY = "taskmaster.stream"


@dataclass(slots=True)
class Grant:
    """Who reads what; the form in which django-eventstream takes a request."""

    user: Any
    #: By what the reader has proved who it is: the key of a session or of a token.
    credential: tuple[Literal["session", "token"], str]
    channels: list[str]
    #: After which id each channel begins; a channel without one begins with its newest events.
    channel_last_ids: dict[str, str]
    is_next: bool = field(default=False, init=False)
    is_recover: bool = field(default=False, init=False)
