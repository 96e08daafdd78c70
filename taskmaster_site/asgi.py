"""The ASGI application: `daphne taskmaster_site.asgi:application`."""

from __future__ import annotations

import os
import sys
from typing import Any, cast

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from tasks import registry
from tasks.errors import ConfigurationError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster_site.settings")

try:
    django = get_asgi_application()
    registry.load()
except ConfigurationError as error:
    sys.exit(str(error))

# Needs the apps to be ready.
from taskmaster_site.console.routing import sockets
from taskmaster_site.live.streams import Streams

application = ProtocolTypeRouter({"http": Streams(cast("Any", django)), "websocket": sockets})
