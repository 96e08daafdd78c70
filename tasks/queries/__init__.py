"""Query tasks for pages, REST, commands and bulk operations."""
