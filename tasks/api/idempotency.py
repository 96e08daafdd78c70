"""Apply a repeated submission only once, identified by the header Idempotency-Key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from taskmaster.tasks.errors import InvalidField, KeyReused
from taskmaster.tasks.models import IdempotencyKey
from taskmaster.tasks.retention import IDEMPOTENCY_KEPT
from taskmaster.tasks.store import sync_store as store

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
#: How long a key is kept, in seconds. Later a coordinator deletes it.
KEPT_S = IDEMPOTENCY_KEPT.total_seconds()
_KEY = re.compile(r"[\x20-\x7e]{1,255}")

#: Headers of a submission and of its response, for the schema.
HEADERS = [
    OpenApiParameter(
        HEADER,
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description=(
            "1 to 255 printable ASCII characters, chosen by the client. If the same user repeats "
            "the key with the same body within 24 hours, nothing is submitted and the response is "
            "the first one. A repeated key with another body is an error. A rejected submission "
            "does not use up its key."
        ),
    ),
    OpenApiParameter(
        REPLAYED,
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        enum=["true"],
        response=[201, 202],
        description="The tasks were submitted by an earlier request with the same key.",
    ),
]


def submit_once(
    request: Request, submit: Callable[[], Response], *, status: int = 201
) -> HttpResponseBase:
    """Return the response of `submit`, or the stored response to an earlier request with the key.

    `status` is the HTTP status of the response, which is not stored. Of two concurrent requests,
    the second waits for the commit of the first. Raise InvalidField for a malformed key, and
    KeyReused for a key that was used for another submission.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return submit()
    if not _KEY.fullmatch(key):
        raise InvalidField(HEADER, "must be 1 to 255 printable ASCII characters.")
    digest = _digest(request)
    with transaction.atomic():
        user_id: Any = request.user.pk
        first = store.take_idempotency_key(user_id, key, digest, kept_s=KEPT_S)
        stored = IdempotencyKey.objects.filter(user_id=user_id, key=key)
        if not first:
            return _stored_response(stored.get(), digest, status)
        response = submit()
        answer = JSONRenderer().render(response.data).decode()
        stored.update(answer=answer, location=response.headers.get("Location", ""))
        return response


def _digest(request: Request) -> str:
    """Return a digest of path and body. It ignores the order of the fields in an object."""
    content = json.dumps([request.path, request.data], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def _stored_response(stored: IdempotencyKey, digest: str, status: int) -> HttpResponse:
    if stored.request != digest:
        raise KeyReused(
            f"{HEADER}: {stored.key} was already used for another submission; "
            "use a new key for each submission."
        )
    headers: dict[str, Any] = {REPLAYED: "true"}
    if stored.location:
        headers["Location"] = stored.location
    return HttpResponse(
        stored.answer, status=status, headers=headers, content_type="application/json"
    )
