"""Who may see and steer workers, and who may let them in."""

VIEW = "workers.view_worker"
#: Draining, taking it back, and stopping.
CHANGE = "workers.change_worker"
KILL = "workers.kill_worker"
#: Making join tokens, and revoking them.
MAKE_TOKEN = "workers.add_jointoken"
REVOKE_TOKEN = "workers.change_jointoken"
