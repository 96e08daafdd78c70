-- Purpose: subtract a successful login from the attempts of its user name and its address.
-- Guard: a count does not fall below 0.
-- Index: primary key.
-- Called by taskmaster.tasks.api.login.
UPDATE taskmaster_tasks_loginattempt
SET attempts = attempts - 1
WHERE
    key = ANY(%(keys)s)
    AND attempts > 0
