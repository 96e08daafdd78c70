"""Run the demo: PostgreSQL, web, coordinator and a pool of workers on one machine."""
