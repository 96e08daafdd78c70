"""Submissions that may be sent twice and happen once: the header Idempotency-Key."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tasks.errors import InvalidField, KeyReused
from tasks.models import IdempotencyKey
from tasks.statements import statement

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
#: How long a key is kept, in seconds.
KEPT_S = 86_400
#: Old keys are dropped at every so many uses of a process, the first among them.
FORGET_EVERY = 100
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_uses = itertools.count()

#: The header of a submission and of its answer, for the schema.
HEADERS = [
    OpenApiParameter(
        HEADER,
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description=(
            "1 to 255 printable ASCII characters of the client's choice. When the same user sends "
            "it again within 24 hours, with the same body, nothing more is submitted and the "
            "answer is the first one's; with another body it is refused. A refused submission "
            "takes no key."
        ),
    ),
    OpenApiParameter(
        REPLAYED,
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        enum=["true"],
        response=[201],
        description="The tasks were submitted by an earlier request with the same key.",
    ),
]


def once(request: Request, submit: Callable[[], Response]) -> HttpResponseBase:
    """The response of `submit`, or that of the request which sent the same key before.

    Of two at once the second waits for the first's commit. Raises InvalidField for a malformed
    key, KeyReused for one that was sent with another submission.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return submit()
    if not _KEY.fullmatch(key):
        raise InvalidField(HEADER, "must be 1 to 255 printable ASCII characters.")
    if next(_uses) % FORGET_EVERY == 0:
        with connection.cursor() as cursor:
            cursor.execute(statement("forget_keys"), {"kept_s": KEPT_S})
    digest = _digest(request)
    with transaction.atomic():
        taken = {"user_id": request.user.pk, "key": key}
        with connection.cursor() as cursor:
            parameters = {**taken, "request": digest, "kept_s": KEPT_S}
            cursor.execute(statement("take_key"), parameters)
            first = cursor.fetchone() is not None
        stored = IdempotencyKey.objects.filter(**taken)
        if not first:
            return _replayed(stored.get(), digest)
        response = submit()
        answer = JSONRenderer().render(response.data).decode()
        stored.update(answer=answer, location=response.headers.get("Location", ""))
        return response


def _digest(request: Request) -> str:
    """Of what is asked: the order of the fields in an object does not count."""
    asked = json.dumps([request.path, request.data], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()


def _replayed(stored: IdempotencyKey, digest: str) -> HttpResponse:
    if stored.request != digest:
        raise KeyReused(
            f"{HEADER}: {stored.key} was sent before with another submission; "
            "each submission needs a key of its own."
        )
    headers: dict[str, Any] = {REPLAYED: "true"}
    if stored.location:
        headers["Location"] = stored.location
    return HttpResponse(stored.answer, status=201, headers=headers, content_type="application/json")
