"""The `runworker` process: a supervisor that holds the stream, and children that do the work.

    coordinator ◄─ gRPC ─► session ─► executor ─► slots ─► children (Python), commands (shell)
                              ▲          │                       │
                              └ reports ◄┴──── output ◄──────────┘
    launcher: the fork server that starts, reaps and kills the children, started before gRPC

The supervisor runs no user code, loads no Django application and opens no database: a task can
crash, hang or hold the GIL without costing a heartbeat. Delivery is at least once; the result is
recorded exactly once.
"""
