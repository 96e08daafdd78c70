"""Run a worker: a supervisor holds the stream, and children execute the tasks.

    coordinator ◄─ gRPC ─► session ─► scheduler ─► slots ─► children (Python), commands (shell)
                              ▲           │                       │
                              └ reports ◄─┴──── output ◄──────────┘
    fork server: starts, reaps and kills the children. It is started before gRPC is imported.

The supervisor runs no user code, loads no Django application and opens no database connection. A
task can therefore crash, hang or hold the GIL without delaying a heartbeat. Delivery is at least
once. The result is recorded exactly once.
"""
