-- Processes that are gone. Called by workers.pools.members.
DELETE FROM workers_poolmember AS member
WHERE member.id = ANY (%(ids)s::bigint[])
