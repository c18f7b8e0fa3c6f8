//! Rows that this version writes, for tests of the columns that state a format. Each store's test reads and sets these
//! columns with its own SQL; see [`OwnRows::VERSIONS`].

use dabba_domain::{
    order::{Command, Order, OrderStatus},
    restaurant::Restaurant,
};

use super::builders::{World, menu, order_of, staff};
use crate::{
    CatalogueUpdate, ClaimAt, CommitOutcome, MenuRevisions, Store, UnderKey,
    encoding::{FINGERPRINT_VERSION, ORDER_FORMAT, RESTAURANT_FORMAT},
};

/// A restaurant, its only order, and the keys of both.
pub struct OwnRows {
    restaurant: Restaurant,
    order: Order,
}

/// A write that changes a row of [`OwnRows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// A command on the order. Possible twice.
    Order,
    /// An update of the restaurant under a new key.
    Settings,
    /// A replacement of the menu.
    Menu,
}

impl OwnRows {
    /// Expected `orders.format`, `restaurants.format`, and lowest and highest `idempotency_keys.fingerprint_version`.
    pub const VERSIONS: [u32; 4] =
        [ORDER_FORMAT, RESTAURANT_FORMAT, FINGERPRINT_VERSION, FINGERPRINT_VERSION];

    /// Returns the rewrites to test: a rewrite, the versions of both rows before it, and the versions of the order and of the
    /// restaurant after it. A rewrite raises a lower version and keeps a higher one.
    pub fn rewrites() -> [(Rewrite, u32, [u32; 2]); 5] {
        let newer = ORDER_FORMAT.max(RESTAURANT_FORMAT) + 1;
        [
            (Rewrite::Order, 0, [ORDER_FORMAT, 0]),
            (Rewrite::Settings, 0, [0, RESTAURANT_FORMAT]),
            (Rewrite::Menu, 0, [0, RESTAURANT_FORMAT]),
            (Rewrite::Order, newer, [newer, newer]),
            (Rewrite::Settings, newer, [newer, newer]),
        ]
    }

    /// Writes the rows: a restaurant with its menu, an order under a key, and an update of the restaurant under another
    /// key.
    pub async fn written(store: &dyn Store, world: &mut World) -> Self {
        let restaurant = world.restaurant();
        assert!(store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap().is_created());
        let customer_id = world.account_id();
        let placed = world.place(restaurant.id, customer_id);
        let order = order_of(&placed);
        assert!(placed.claim.is_some());
        assert_eq!(store.commit(vec![placed]).await.unwrap(), [CommitOutcome::Committed]);
        let mut rows = Self { restaurant, order };
        rows.rewrite(store, world, Rewrite::Settings).await;
        rows
    }

    /// Returns the order.
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Changes a row.
    pub async fn rewrite(&mut self, store: &dyn Store, world: &mut World, rewrite: Rewrite) {
        match rewrite {
            Rewrite::Order => {
                let command = if self.order.status == OrderStatus::Confirmed {
                    Command::Accept { preparation_minutes: 10 }
                } else {
                    Command::MarkReady
                };
                let commit = world.act(&self.order, &command, &staff(&self.order));
                self.order = order_of(&commit);
                assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
            }
            Rewrite::Settings => {
                let claim = world.claim(self.order.details.customer_id);
                let claim = ClaimAt { claim: &claim, at: world.now() };
                let expected = self.restaurant.revision;
                let update =
                    store.update_restaurant_under(&self.restaurant, expected, Some(claim)).await.unwrap();
                self.restaurant.revision += 1;
                let revision = self.restaurant.revision;
                assert_eq!(update, UnderKey::Ended(CatalogueUpdate::Done { revision }));
            }
            Rewrite::Menu => {
                let catalogue = store.catalogue(self.restaurant.id).await.unwrap().unwrap();
                let expected = MenuRevisions {
                    menu: catalogue.menu_revision,
                    availability: catalogue.availability_revision,
                };
                let update =
                    store.replace_menu(self.restaurant.id, &menu(&["roti"]), expected).await.unwrap();
                assert_eq!(update, CatalogueUpdate::Done { revision: expected.menu + 1 });
            }
        }
    }
}
