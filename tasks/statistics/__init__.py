"""The figures of dashboard and API: rolled up while tasks end, never counted over the history.

`tally` adds, `census` counts what waits and runs, `read` is what screens and API ask.
"""
