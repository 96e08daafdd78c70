-- Purpose: register an idempotency key for a request. It returns no row if the user has used the
-- key within the time for which keys are kept. It waits for a concurrent transaction with the same
-- key.
-- Index: primary key.
-- Called by taskmaster.tasks.api.idempotency, in the transaction of the submission.
INSERT INTO taskmaster_tasks_idempotencykey AS taken (user_id, key, request, answer, location)
VALUES (%(user_id)s, %(key)s, %(request)s, '', '')
ON CONFLICT (user_id, key) DO UPDATE SET
    request = EXCLUDED.request,
    answer = '',
    location = '',
    at = now()
WHERE taken.at < now() - make_interval(secs => %(kept_s)s)
RETURNING key
