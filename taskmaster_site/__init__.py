"""Wire the apps into a site: settings, URLs, ASGI application and demo."""

from taskmaster import require_full_name

require_full_name(__name__)
