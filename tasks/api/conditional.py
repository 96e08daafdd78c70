"""Answer polling clients with ETag, If-None-Match and 304."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

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
