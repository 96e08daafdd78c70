-- A coordinator is about to wait: from the commit on, submitters wake it. It must look for work once
-- more after this commit and before it waits. Called by the claimer.
INSERT INTO tasks_sleeper (coordinator)
VALUES (%(coordinator)s)
ON CONFLICT DO NOTHING
