"""Maintain the statistics of dashboard and API. They are never counted over all tasks.

`depth` counts pending and running tasks, `histogram` stores times, and `read` returns the results.
The store adds ended tasks (record_completions.sql) in the transaction that ends them.
"""
