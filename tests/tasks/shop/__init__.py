"""An app with its own tasks, for the tests of discovery."""
