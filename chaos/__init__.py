"""Run real processes under load and kill, freeze, disconnect and restart them: `make chaos`.

    schedule (seed → faults) ─► faults ─► fleet · hosts · PostgreSQL
    load ─► tasks ─► ledger ─┐
    history.sql ─► records ──┼─► verdict · repeats · rescue ─► report
    hostile ─────────────────┘

The records that the verdict uses do not depend on the code under test: each task writes its
executions to separate files, and a trigger records every change of a task's status, lease and
attempt.
"""
