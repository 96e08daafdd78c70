"""Serve the HTML pages: the dashboard, the task page, and their buttons."""
