-- Which of the held tasks are still this coordinator's to offer: neither cancelled nor moved since
-- they were claimed. Changes nothing. Guard and index as in start.sql. Called when held tasks fall
-- due.
SELECT task.id
FROM unnest(%(ids)s::bigint[], %(leases)s::bigint[]) AS held (id, lease)
INNER JOIN tasks_task AS task ON task.id = held.id
WHERE
    task.lease = held.lease
    AND held.lease - held.lease = 0
    AND task.status || '' = 'picked'
