"""When schedules are due. Nothing here reads the database."""
