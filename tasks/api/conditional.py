"""Answer polling clients with 304, and refuse changes that are based on an old version."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from taskmaster.tasks.errors import InvalidField

#: Class decorator of views: each GET gets an ETag, or 304 if the client has the current one. The
#: response is still built; only its transfer is saved.
conditional = method_decorator(
    [cache_control(private=True, no_cache=True), conditional_page], name="dispatch"
)

#: Headers of such a GET, for the schema.
HEADERS = [
    OpenApiParameter(
        "If-None-Match",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="ETag of an earlier response. The response is 304 if it is still current.",
    ),
    OpenApiParameter(
        "ETag",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        response=[200, 304],
        description="Identifier of this version of the response.",
    ),
]
#: Its response without a body, for the schema.
NOT_MODIFIED: dict[Any, Any] = {
    304: OpenApiResponse(description="The version in If-None-Match is still current.")
}

#: Header of a change that must not overwrite another one, for the schema.
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description=(
        "ETag of the response that the change is based on. If the object has been changed since "
        "then, the response is 412 and nothing changes."
    ),
)
_VERSION = re.compile(r'(?:W/)?"(?P<version>[0-9]{1,19})-[0-9a-f]+"')


def versioned(data: Any, version: int, **options: Any) -> Response:
    """Return a response whose ETag has the version of an object and a digest of the data.

    Polling clients get new data, and `If-Match` compares the version only. So a change is not
    refused because a time has moved on.
    """
    digest = hashlib.blake2b(JSONRenderer().render(data), digest_size=8).hexdigest()
    response = Response(data, **options)
    response["ETag"] = f'"{version}-{digest}"'
    return response


def parse_if_match(request: Request) -> int | None:
    """Return the version that the client has seen. None: any. Raise InvalidField."""
    header = request.headers.get("If-Match", "*").strip()
    if header == "*":
        return None
    match = _VERSION.fullmatch(header)
    if match is None:
        raise InvalidField("If-Match", "must be * or the ETag of a GET of this object.")
    return int(match["version"])
