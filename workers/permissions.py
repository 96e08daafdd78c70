"""Who may see and steer workers."""

VIEW = "workers.view_worker"
#: Draining, taking it back, and stopping.
CHANGE = "workers.change_worker"
KILL = "workers.kill_worker"
