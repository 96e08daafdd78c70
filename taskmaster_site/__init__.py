"""The wiring: settings, URLs, ASGI, and the demo."""
