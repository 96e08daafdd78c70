"""Run the workers of a pool: on this host, with Compose or with Kubernetes."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from taskmaster.tasks.extras import EXTRAS, MissingExtra, require_extra
from taskmaster.workers.pools.provider import Provider, ProviderMissing


def load_provider(name: str) -> Provider:
    """Return the provider `compose` or `kubernetes`.

    Raises ProviderMissing when a package that it needs is not installed.
    """
    try:
        if name in EXTRAS:
            require_extra(name, f"The provider {name}")
        module = import_module(f"taskmaster.workers.pools.providers.{name}")
    except MissingExtra as missing:
        raise ProviderMissing(str(missing)) from None
    return cast("Provider", getattr(module, f"{name.capitalize()}Provider")())
