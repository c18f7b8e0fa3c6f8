-- Which part of all orders this database holds, as the shard map of its servers says. One row, written
-- when the database is first taken into a map, and changed when a part is given to another database.
--
-- Whoever writes holds a lock on this table until it commits (ACCESS SHARE, which costs nothing and
-- hinders nobody), and has looked at the row behind that lock. Whoever changes the row locks out all
-- others first (ACCESS EXCLUSIVE), so from then on nobody writes for what was given away.
CREATE TABLE shard (
    is_the_only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    -- The shard's name in the map.
    name text NOT NULL,
    first_bucket integer NOT NULL,
    last_bucket integer NOT NULL,
    -- Whether accounts and memberships are kept here.
    is_directory boolean NOT NULL,
    CONSTRAINT buckets_are_a_range CHECK (0 <= first_bucket AND first_bucket <= last_bucket AND last_bucket < 4096)
);

-- The bucket of an id: the twelve bits behind the version.
CREATE FUNCTION bucket_of(id uuid) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7);

-- History is still never changed. What may be deleted are the events of orders that have been given to
-- another database, where they live on.
DROP TRIGGER order_events_are_never_changed ON order_events;

CREATE TRIGGER order_events_are_never_changed
    BEFORE UPDATE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_history();

CREATE FUNCTION refuse_deletion_of_own_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM shard
        WHERE is_the_only_row AND bucket_of(OLD.order_id) NOT BETWEEN first_bucket AND last_bucket
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'an event is never changed and never deleted' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER order_events_are_never_deleted
    BEFORE DELETE ON order_events
    FOR EACH ROW EXECUTE FUNCTION refuse_deletion_of_own_history();
