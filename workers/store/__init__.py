"""Run the statements of `workers/sql/`. Each function runs one statement and has its name.

- `async_store` is for coordinators: workers, their heartbeats and join tokens.
- `pool_store` is for the coordinator that reconciles the pools: pools, members and their load.
- `sync_store` is for web processes, commands and programs, on Django's connection.

A module that needs one of them imports it as `store`.
"""
