"""Who may see and steer workers, scale and change pools, and let workers in."""

#: Workers, and their pools.
VIEW = "workers.view_worker"
#: Draining, taking it back, and stopping.
CHANGE = "workers.change_worker"
KILL = "workers.kill_worker"
#: How many workers a pool shall have, and nothing else of it.
SCALE = "workers.scale_pool"
ADD_POOL = "workers.add_workerpool"
CHANGE_POOL = "workers.change_workerpool"
DELETE_POOL = "workers.delete_workerpool"
#: Making join tokens, and revoking them.
MAKE_TOKEN = "workers.add_jointoken"
REVOKE_TOKEN = "workers.change_jointoken"
