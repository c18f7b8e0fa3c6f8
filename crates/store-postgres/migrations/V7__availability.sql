-- Availability lives beside the menu, so that a mark changes one small row and not the menu.

-- The items that cannot be ordered. An item stays here when a menu without it comes, and is still marked when
-- it comes back.
CREATE TABLE unavailable_items (
    restaurant_id uuid NOT NULL REFERENCES restaurants (id),
    item text NOT NULL,
    -- From when it can be ordered again, as the API writes it (RFC 3339); NULL: until someone says so.
    until text,
    PRIMARY KEY (restaurant_id, item)
);

-- Counts the changes of the marks. `menu_revision` no longer counts them.
ALTER TABLE restaurants ADD COLUMN availability_revision bigint NOT NULL DEFAULT 1;

-- Menus contained the marks of their items. What the menus say of them is ignored from now on.
INSERT INTO unavailable_items (restaurant_id, item, until)
SELECT menus.restaurant_id, item.content ->> 'id', item.content -> 'availability' ->> 'until'
FROM menus
JOIN (SELECT restaurant_id, max(revision) AS revision FROM menus GROUP BY restaurant_id) AS newest
    USING (restaurant_id, revision)
CROSS JOIN json_array_elements(menus.menu -> 'categories') AS category (content)
CROSS JOIN json_array_elements(category.content -> 'items') AS item (content)
WHERE item.content -> 'availability' ->> 'status' = 'unavailable'
ON CONFLICT (restaurant_id, item) DO NOTHING;
