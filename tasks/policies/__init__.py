"""Apply what operators set for queues and task names."""
