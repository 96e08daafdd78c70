-- Tells the web processes that these watched tasks have new output. Called by the announcer.
SELECT pg_notify('taskmaster_output', %(ids)s)
