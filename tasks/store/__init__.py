"""Run the statements of `tasks/sql/`. Nothing else writes the status of a task.

Each function runs one statement and has its name. It takes and returns the types of
`taskmaster.tasks.messages`. There are two halves, for two kinds of callers:

- `async_store` is for coordinators. Its functions are batched, and take a coordinator's own
  connection.
- `sync_store` is for web processes, commands and programs. Its functions use Django's connection
  to the database `using`, and so take part in the caller's transaction.

A module that needs one half imports it as `store`. A statement that both kinds of callers need has
a function in each half. `parameters` builds the parameters that both pass.
"""
