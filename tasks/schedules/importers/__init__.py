"""Read the schedules of other schedulers, and create them here.

Each module reads one source and yields `FoundSchedule`s. `plan` decides which can be created.
"""
