"""Define the ASGI application: `daphne taskmaster.taskmaster_site.asgi:application`."""

from __future__ import annotations

import os
import sys

from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

from taskmaster.workers.security import private_process

# The environment has the secrets of the site. Tasks may run as the same user.
private_process.hide()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster.taskmaster_site.settings")

try:
    django = get_asgi_application()

    # The import needs loaded apps.
    from taskmaster.asgi import wrap

    application = wrap(django)
except ImproperlyConfigured as error:
    sys.exit(str(error))
