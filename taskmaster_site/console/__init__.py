"""The live console of a task: what it prints, over a WebSocket that waits for slow readers."""
