-- Ids that other systems gave to restaurants, and restaurants that are closed permanently.

-- Unique: the settings say it too.
ALTER TABLE restaurants ADD COLUMN external_id TEXT;
CREATE UNIQUE INDEX restaurants_external_id ON restaurants (external_id) WHERE external_id IS NOT NULL;

-- When and why an admin closed it, as JSON; NULL for a restaurant that is not closed.
ALTER TABLE restaurants ADD COLUMN closed TEXT;
