//! Whether every idempotency key of an order leads to an order and a version that it has had, and no two keys
//! made the same order. Keys of other resources are counted; these resources have no history to compare with.
//!
//! An order is placed under one key at most, its customer's. Keys come by account and restaurant, so
//! those that placed the same order come near each other: only the orders of one customer at one
//! restaurant have to be remembered. Where these are too many, their keys are read again, several times,
//! and each time another part of the orders is remembered.

use std::collections::HashSet;

use dabba_domain::{
    AccountId, OrderId, RestaurantId,
    order::{Order, PaymentMethod},
};
use dabba_store::{AuditStore, OrderStore, ScopedKey, StoredClaim};

use super::{Audit, AuditError, Code, Finding, PAGE, is_full, orders_by_id, whole};

/// An account, and a restaurant, if the key has one. Scopes come in their order.
type Scope = (AccountId, Option<RestaurantId>);

const fn scope_of(key: &ScopedKey) -> Scope {
    (key.account_id, key.restaurant_id)
}

fn described((account_id, restaurant_id): Scope) -> String {
    match restaurant_id {
        Some(restaurant_id) => format!("account {account_id} at restaurant {restaurant_id}"),
        None => format!("account {account_id} at no restaurant"),
    }
}

/// Whether a key that led an order to this version placed it. One in cash, or of nothing, is confirmed in the same
/// step; so no answer contains its first version.
fn places(order: &Order, version: u32) -> bool {
    let when_placed = match order.details.payment_method {
        PaymentMethod::Cash => 2,
        PaymentMethod::Card if order.details.amounts.total.is_zero() => 2,
        PaymentMethod::Card => 1,
    };
    version <= when_placed
}

/// The orders that keys of one scope placed.
struct Placed {
    scope: Scope,
    /// The last key before the scope, if there is one.
    behind: Option<ScopedKey>,
    /// How many keys placed one.
    keys: usize,
    /// Empty, when there are more than may be.
    seen: HashSet<OrderId>,
    twice: Vec<OrderId>,
}

impl Placed {
    fn new(scope: Scope, behind: Option<ScopedKey>) -> Self {
        Self { scope, behind, keys: 0, seen: HashSet::new(), twice: Vec::new() }
    }

    fn remember(&mut self, order_id: OrderId, most: usize) {
        self.keys += 1;
        if self.keys > most {
            (self.seen, self.twice) = (HashSet::new(), Vec::new());
        } else if !self.seen.insert(order_id) {
            self.twice.push(order_id);
        }
    }
}

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    /// Looks at every key.
    pub(super) async fn walk_claims(&mut self) -> Result<(), AuditError> {
        let mut after: Option<ScopedKey> = None;
        let mut placed: Option<Placed> = None;
        let mut large = Vec::new();
        loop {
            let (page, is_last) = self.claims_behind(after.as_ref()).await?;
            for (StoredClaim { key, record }, order) in page {
                self.report.keys += 1;
                let Some(order_id) = record.order_id() else {
                    after = Some(key);
                    continue;
                };
                self.judge_claim(&key, order_id, record.version, order.as_ref());
                if order.is_some_and(|order| places(&order, record.version)) {
                    if placed.as_ref().is_none_or(|placed| placed.scope != scope_of(&key)) {
                        let left = placed.replace(Placed::new(scope_of(&key), after));
                        large.extend(left.and_then(|left| self.leave(left)));
                    }
                    let placed = placed.get_or_insert_with(|| Placed::new(scope_of(&key), None));
                    placed.remember(order_id, self.bounds.placed);
                }
                after = Some(key);
            }
            if is_last {
                break;
            }
        }
        large.extend(placed.and_then(|left| self.leave(left)));
        for placed in large {
            self.walk_scope(&placed).await?;
        }
        Ok(())
    }

    /// A page of keys, each with its order, and whether it is the last one.
    async fn claims_behind(
        &self,
        after: Option<&ScopedKey>,
    ) -> Result<(Vec<(StoredClaim, Option<Order>)>, bool), AuditError> {
        let page = whole("idempotency keys", self.store.all_claims(after, PAGE).await)?;
        let is_last = !is_full(&page);
        let orders =
            orders_by_id(self.store, page.iter().filter_map(|claim| claim.record.order_id())).await?;
        let with_order = |claim: StoredClaim| {
            let order = claim.record.order_id().and_then(|order_id| orders.get(&order_id).cloned());
            (claim, order)
        };
        Ok((page.into_iter().map(with_order).collect(), is_last))
    }

    /// The order was read after the key, so it has the version that the key names, if it ever had.
    fn judge_claim(&mut self, key: &ScopedKey, order_id: OrderId, version: u32, order: Option<&Order>) {
        let ScopedKey { account_id, restaurant_id, .. } = key;
        let Some(order) = order else {
            return self.found(Code::KeyOrder, key, order_id, "names it, and there is no such order");
        };
        let details = &order.details;
        if !(1..=order.version).contains(&version) {
            let text = format!("led it to version {version}; it has had 1 to {}", order.version);
            self.found(Code::KeyVersion, key, order_id, &text);
        }
        if Some(details.restaurant_id) != *restaurant_id {
            let text = format!("names it; it is an order of restaurant {}", details.restaurant_id);
            self.found(Code::KeyOrder, key, order_id, &text);
        }
        if places(order, version) && details.customer_id != *account_id {
            let text = format!("placed it; it is an order of account {}", details.customer_id);
            self.found(Code::KeyAccount, key, order_id, &text);
        }
    }

    fn found(&mut self, code: Code, key: &ScopedKey, order_id: OrderId, text: &str) {
        let text = format!("a key of {} {text}", described(scope_of(key)));
        self.report.add(Finding::new(code, order_id, text));
    }

    /// Reports what was placed twice in a scope that is read. Answers it, when that is not known yet.
    fn leave(&mut self, placed: Placed) -> Option<Placed> {
        if placed.keys > self.bounds.placed {
            return Some(placed);
        }
        for order_id in placed.twice {
            self.placed_twice(placed.scope, order_id);
        }
        None
    }

    fn placed_twice(&mut self, scope: Scope, order_id: OrderId) {
        let text = format!("two keys of {} placed it", described(scope));
        self.report.add(Finding::new(Code::PlacedTwice, order_id, text));
    }

    /// Reads the keys of a scope once for each part of its orders, and reports those that were placed twice.
    async fn walk_scope(&mut self, placed: &Placed) -> Result<(), AuditError> {
        let Placed { scope, behind, keys, .. } = placed;
        let parts = u128::try_from(keys.div_ceil(self.bounds.placed)).unwrap_or(u128::MAX);
        for part in 0..parts {
            let mut seen = HashSet::new();
            let mut after = behind.clone();
            loop {
                let (page, is_last) = self.claims_behind(after.as_ref()).await?;
                let is_beyond = page.last().is_some_and(|(last, _)| scope_of(&last.key) > *scope);
                for (StoredClaim { key, record }, order) in page {
                    // The last digits of an id are random.
                    if let Some(order) = order.filter(|order| places(order, record.version))
                        && scope_of(&key) == *scope
                        && order.id.uuid().as_u128() % parts == part
                        && !seen.insert(order.id)
                    {
                        self.placed_twice(*scope, order.id);
                    }
                    after = Some(key);
                }
                if is_last || is_beyond {
                    break;
                }
            }
        }
        Ok(())
    }
}
