"""What `manage.py taskmaster` does with pools: scale and list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.cli.arguments import Action, number
from tasks.cli.terminal import Printer
from workers.api.pool_serializers import PoolSerializer
from workers.models import WorkerPool
from workers.pools import operations

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
    """Declares scale and pools."""
    parser = action("scale", "say how many workers a pool shall have", _SCALE_EXAMPLES)
    parser.add_argument("count", metavar="N", help="within the bounds of the pool")
    parser.add_argument(
        "--pool",
        metavar="NAME",
        default=operations.DEFAULT,
        help="the pool's name (default: %(default)s)",
    )
    action("pools", "list pools: what is desired, and what is there", _POOLS_EXAMPLES)


def scale(options: Mapping[str, Any], out: Printer) -> None:
    """Raises PoolNotFound, InvalidField, ProviderMissing or ProviderFailed."""
    pool = operations.scale(options["pool"], number(options["count"]))
    if options["json"]:
        out.json(PoolSerializer(pool).data)
    else:
        out.line(f"Pool {pool.name} shall have {_workers(pool.desired)}; {pool.registered} there.")


def pools(options: Mapping[str, Any], out: Printer) -> None:
    """All pools by name."""
    found = WorkerPool.objects.all()
    if options["json"]:
        out.json(PoolSerializer(found, many=True).data)
        return
    for pool in found:
        out.line(
            f"{pool.name}: {pool.registered} of {pool.desired} there, {pool.draining} draining, "
            f"{pool.get_state_display()} ({pool.provider})"
        )
        if pool.error:
            out.line(f"  {pool.error}")
        for line in pool.last_log.splitlines():
            out.line(f"  | {line}")


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"
