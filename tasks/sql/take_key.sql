-- Takes an idempotency key for a request, unless the user sent it within the time for which keys are
-- kept; then it returns no row. Waits for another transaction that takes the same key just now.
-- Index: the primary key. Called by tasks.api.idempotency, within the transaction of the submission.
INSERT INTO tasks_idempotencykey AS taken (user_id, key, request, answer, location)
VALUES (%(user_id)s, %(key)s, %(request)s, '', '')
ON CONFLICT (user_id, key) DO UPDATE SET
    request = EXCLUDED.request,
    answer = '',
    location = '',
    at = now()
WHERE taken.at < now() - make_interval(secs => %(kept_s)s)
RETURNING key
