"""A project with only the base installation of TaskMaster."""
