"""Who may see and steer workers."""

VIEW = "workers.view_worker"
#: Draining, and taking it back.
CHANGE = "workers.change_worker"
