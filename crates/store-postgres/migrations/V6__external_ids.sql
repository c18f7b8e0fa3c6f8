-- Ids that other systems gave to restaurants, and restaurants that are closed permanently.
--
-- Servers of the version before may run beside this schema, but take orders for a restaurant that is closed
-- permanently.

-- Unique: the settings say it too. A restaurant with an external id is in the external id's bucket, so an id that
-- is unique in each database is unique.
ALTER TABLE restaurants
    ADD COLUMN external_id text,
    -- When and why an admin closed it; NULL for a restaurant that is not closed.
    ADD COLUMN closed json;

CREATE UNIQUE INDEX restaurants_external_id ON restaurants (external_id) WHERE external_id IS NOT NULL;
