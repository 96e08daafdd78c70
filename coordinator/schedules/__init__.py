"""Create the runs of schedules, on the coordinator that leads."""
