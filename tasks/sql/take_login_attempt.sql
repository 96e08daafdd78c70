-- Purpose: count a login attempt for a user name or an address, before the password is checked. It
-- returns the number of attempts in the period. The attempt after the last permitted one is counted
-- too, so that its caller can log it. Further ones return no row and write nothing.
-- Guard: at most `permitted` + 1 attempts in a period.
-- Index: primary key.
-- Called by taskmaster.tasks.api.login.
INSERT INTO taskmaster_tasks_loginattempt AS known (key, attempts)
VALUES (%(key)s, 1)
ON CONFLICT (key) DO UPDATE SET
    attempts = CASE
        WHEN known.since < now() - make_interval(secs => %(period_s)s) THEN 1
        ELSE known.attempts + 1
    END,
    since = CASE
        WHEN known.since < now() - make_interval(secs => %(period_s)s) THEN now()
        ELSE known.since
    END
WHERE
    known.attempts <= %(permitted)s
    OR known.since < now() - make_interval(secs => %(period_s)s)
RETURNING attempts
