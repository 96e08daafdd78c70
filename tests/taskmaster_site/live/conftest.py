"""End the live parts of this process after each test."""

from tests.taskmaster_site.console.conftest import _live_parts_end  # noqa: F401
