"""Stream a task's output to a console, over a WebSocket with flow control."""
