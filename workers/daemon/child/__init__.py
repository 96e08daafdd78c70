"""Execute tasks in a forked child, with one main loop per executor."""
