-- In the chaos database only: every change of a task's status, lease, attempt or coordinator, as the
-- row itself went through it. Changes of one task are in the order of their ids: the row is locked.
-- Written by the trigger alone; read by chaos.records when the run is over.
CREATE TABLE chaos_history (
    id bigserial PRIMARY KEY,
    task_id bigint NOT NULL,
    at timestamptz NOT NULL,
    old_status text NOT NULL,
    new_status text NOT NULL,
    old_lease bigint NOT NULL,
    new_lease bigint NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    coordinator uuid
);

CREATE FUNCTION chaos_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_history (
        task_id, at, old_status, new_status, old_lease, new_lease, attempt, worker, coordinator
    )
    VALUES (
        NEW.id,
        clock_timestamp(),
        OLD.status,
        NEW.status,
        OLD.lease,
        NEW.lease,
        NEW.attempt,
        NEW.worker,
        NEW.coordinator
    );
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_keep
AFTER UPDATE ON taskmaster_tasks_task
FOR EACH ROW
WHEN (
    (OLD.status, OLD.lease, OLD.attempt, OLD.coordinator)
    IS DISTINCT FROM (NEW.status, NEW.lease, NEW.attempt, NEW.coordinator)
)
EXECUTE FUNCTION chaos_keep();
