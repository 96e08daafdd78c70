"""Provide the `manage.py taskmaster` actions for workers, pools and join tokens."""
