"""`make chaos`: real processes under load, really killed, frozen, cut off and restarted.

    schedule (seed → faults) ─► faults ─► fleet · hosts · PostgreSQL
    load ─► tasks ─► ledger ─┐
    history.sql ─► records ──┴─► verdict · repeats · rescue ─► report

What the run is judged by is kept apart from what is judged: each task writes its executions to
files of its own, and a trigger keeps every change of a task's status, lease and attempt.
"""
