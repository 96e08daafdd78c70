-- Which of the held tasks are still this coordinator's to offer: neither cancelled nor moved since
-- they were claimed. Changes nothing. The empty text keeps the partial indexes out of the plan.
-- Index: primary key. Called when held tasks fall due.
SELECT task.id
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS held (id, lease)
INNER JOIN tasks_task AS task ON task.id = held.id
WHERE
    task.lease = held.lease
    AND task.status || '' = 'picked'
