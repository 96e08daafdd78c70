"""What runs in a forked child: one loop a pool kind, and the execution of a task.

The supervisor sends lists of messages, the child answers with lists of messages:

    ["run", id, name, args, kwargs, task, attempt, created_at_us, queue, priority]
    ["cancel", id]                                              (async only)

    ["done", id, started_at_us, finished_at_us, result]
    ["failed", id, started_at_us, finished_at_us, exception, message, traceback, final, after_s]
    ["output", id, stream, text]

`id` is the supervisor's number of the attempt; args, kwargs and result are JSON text, empty for
[], {} and null. `after_s` is the pause that the task asked for, or null.
"""
