"""The providers by their names."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from workers.pools.provider import Provider, ProviderMissing


def engine(name: str) -> Provider:
    """The provider `compose` or `kubernetes`.

    Raises ProviderMissing when what it is made of is not installed.
    """
    try:
        module = import_module(f"workers.pools.providers.{name}")
    except ModuleNotFoundError as error:
        raise ProviderMissing(
            f"The provider {name} needs the Python package {error.name}, which is not installed."
        ) from None
    return cast("Provider", getattr(module, f"{name.capitalize()}Provider")())
