"""What a client that polls need not read again: ETag, If-None-Match, and 304."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

#: A class decorator of views: each GET is answered with the ETag of what it shows, and with 304
#: where the client names it. The answer is made all the same: spared are its way and its reading.
conditional = method_decorator(
    [cache_control(private=True, no_cache=True), conditional_page], name="dispatch"
)

#: The headers of such a GET, for the schema.
HEADERS = [
    OpenApiParameter(
        "If-None-Match",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="The ETag of an answer that is at hand: 304 while it is still right.",
    ),
    OpenApiParameter(
        "ETag",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        response=[200, 304],
        description="Changes with the answer.",
    ),
]
#: Its response without a body, for the schema.
NOT_MODIFIED: dict[Any, Any] = {
    304: OpenApiResponse(description="What has the ETag in If-None-Match is still right.")
}
