-- Availability lives beside the menu, so that a mark changes one small row and not the menu.

-- The items that cannot be ordered. An item stays here when a menu without it comes, and is still marked when
-- it comes back.
CREATE TABLE unavailable_items (
    restaurant_id BLOB NOT NULL REFERENCES restaurants (id),
    item TEXT NOT NULL,
    -- From when it can be ordered again, as the API writes it (RFC 3339); NULL: until someone says so.
    until TEXT,
    PRIMARY KEY (restaurant_id, item)
) STRICT, WITHOUT ROWID;

-- Counts the changes of the marks. `menu_revision` no longer counts them.
ALTER TABLE restaurants ADD COLUMN availability_revision INTEGER NOT NULL DEFAULT 1;

-- Menus contained the marks of their items. What the menus say of them is ignored from now on.
INSERT INTO unavailable_items (restaurant_id, item, until)
SELECT menus.restaurant_id, item.value ->> '$.id', item.value ->> '$.availability.until'
FROM menus
JOIN (SELECT restaurant_id, max(revision) AS revision FROM menus GROUP BY restaurant_id) AS newest
    USING (restaurant_id, revision)
CROSS JOIN json_each(menus.menu, '$.categories') AS category
CROSS JOIN json_each(category.value, '$.items') AS item
WHERE item.value ->> '$.availability.status' = 'unavailable'
ON CONFLICT (restaurant_id, item) DO NOTHING;
