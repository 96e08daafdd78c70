"""Recurring schedules: when they are due, what users do with them, and which runs they get."""
