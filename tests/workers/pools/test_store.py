"""A pool as a provider is given it."""

from __future__ import annotations

from tasks.conf import Settings
from workers.daemon import options
from workers.pools.store import Findings, Pool, wanted


def test_a_worker_understands_the_options_of_its_pool_whatever_its_queues_are_called() -> None:
    found = Findings(0, 0, 0, "steady", "", "", 0, None)
    pool = Pool("herons", "local", 3, 7, "threads", ["-a", "b.c"], {}, 30, found, None, 0)
    chosen = options.parse(wanted(pool).argv, {}, Settings())
    assert (chosen.pool_name, chosen.pool, chosen.slots) == ("herons", "threads", 7)
    assert chosen.queues == ("-a", "b.c")
    # What `manage.py runworker` hands on is understood, too.
    assert options.parse(chosen.argv(), {}, Settings()).queues == chosen.queues
    assert (wanted(pool).count, wanted(pool, 1).count) == (3, 1)
