"""Provide the `manage.py taskmaster` actions for pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskmaster.tasks.cli.arguments import Action, number
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import InvalidField
from taskmaster.workers.models import WorkerPool
from taskmaster.workers.pools import operations

_SCALE_EXAMPLES = """\
examples:
  manage.py taskmaster scale 10
  manage.py taskmaster scale 0 --pool reports
"""
_POOLS_EXAMPLES = """\
examples:
  manage.py taskmaster pools
  manage.py taskmaster pools --json | jq '.[] | select(.state != "steady")'
"""


def add_actions(action: Action) -> None:
    """Add the actions scale and pools."""
    parser = action("scale", "set the desired number of workers of a pool", _SCALE_EXAMPLES)
    parser.add_argument(
        "count", metavar="N", help="desired number of workers, within the bounds of the pool"
    )
    parser.add_argument(
        "--pool",
        metavar="NAME",
        default=operations.DEFAULT,
        help="the pool's name (default: %(default)s)",
    )
    action("pools", "list pools with their desired and registered workers", _POOLS_EXAMPLES)


def scale(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Scale a pool.

    Raises PoolNotFound, InvalidField, ProviderMissing or ProviderFailed.
    """
    try:
        pool = operations.scale(options["pool"], number(options["count"]))
    except InvalidField as error:
        raise InvalidField("N", error.rule) from None
    if options["json"]:
        from taskmaster.workers.api.pool_serializers import PoolSerializer

        out.json(PoolSerializer(pool).data)
    else:
        out.line(
            f"Pool {pool.name} scaled to {_workers(pool.desired)}; {pool.registered} registered."
        )


def pools(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Print all pools, ordered by name."""
    found = WorkerPool.objects.all()
    if options["json"]:
        from taskmaster.workers.api.pool_serializers import PoolSerializer

        out.json(PoolSerializer(found, many=True).data)
        return
    for pool in found:
        out.line(
            f"{pool.name}: {pool.registered} of {pool.desired} registered, {pool.draining} "
            f"draining, {pool.get_state_display()} ({pool.provider})"
        )
        if pool.error:
            out.line(f"  {pool.error}")
        for line in pool.last_log.splitlines():
            out.line(f"  | {line}")


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"
