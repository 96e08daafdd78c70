"""Build URLs of static files below the prefix under which the site is served."""

from __future__ import annotations

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.urls import get_script_prefix


class PrefixedStorage(StaticFilesStorage):
    """Prepend the prefix of the current request to the option `base_url`, a relative URL.

    Django caches STATIC_URL with the prefix of its first use, which may be outside a request.
    """

    @property
    def base_url(self) -> str:
        """Return the URL of the static files for the current request."""
        return f"{get_script_prefix()}{self._base_url}"  # type: ignore[attr-defined]
