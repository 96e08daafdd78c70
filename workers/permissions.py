"""Who may see and steer workers, and scale and change pools."""

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
