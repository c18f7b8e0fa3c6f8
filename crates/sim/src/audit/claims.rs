//! Checks of idempotency keys: every key of an order names an order and a version that the order has had, and
//! no two keys placed the same order. Keys of other resources are only counted, because these resources have
//! no history.
//!
//! An order is placed under at most one key, its customer's. Keys are sorted by account and restaurant, so
//! keys that placed the same order are close to each other, and the auditor needs to remember only the orders
//! of one customer at one restaurant. If there are too many, the auditor reads their keys again several
//! times, and remembers another part of the orders each time.

use std::collections::HashSet;

use dabba_domain::{
    AccountId, OrderId, RestaurantId,
    order::{Order, PaymentMethod},
};
use dabba_store::{AuditStore, OrderStore, ScopedKey, StoredClaim};

use super::{Audit, AuditError, Finding, FindingCode, PAGE, is_full, orders_by_id, whole};

/// An account, and a restaurant if the key has one. Keys are sorted by scope.
type Scope = (AccountId, Option<RestaurantId>);

const fn scope_of(key: &ScopedKey) -> Scope {
    (key.account_id, key.restaurant_id)
}

fn describe_scope((account_id, restaurant_id): Scope) -> String {
    match restaurant_id {
        Some(restaurant_id) => format!("account {account_id} at restaurant {restaurant_id}"),
        None => format!("account {account_id} at no restaurant"),
    }
}

/// Returns whether a key with this version of the order placed the order. An order in cash or with a total of
/// zero is confirmed in the same step, so no response contains its first version.
fn places(order: &Order, version: u32) -> bool {
    let when_placed = match order.details.payment_method {
        PaymentMethod::Cash => 2,
        PaymentMethod::Card if order.details.amounts.total.is_zero() => 2,
        PaymentMethod::Card => 1,
    };
    version <= when_placed
}

/// The orders that the keys of one scope placed.
struct Placed {
    scope: Scope,
    /// The last key before the scope, if any.
    start: Option<ScopedKey>,
    /// Number of keys that placed an order.
    keys: usize,
    /// The orders; empty if there are more than the limit.
    seen: HashSet<OrderId>,
    twice: Vec<OrderId>,
}

impl Placed {
    fn new(scope: Scope, start: Option<ScopedKey>) -> Self {
        Self { scope, start, keys: 0, seen: HashSet::new(), twice: Vec::new() }
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
    /// Audits all keys.
    pub(super) async fn walk_claims(&mut self) -> Result<(), AuditError> {
        let mut after: Option<ScopedKey> = None;
        let mut placed: Option<Placed> = None;
        let mut large = Vec::new();
        loop {
            let (page, is_last) = self.claims_after(after.as_ref()).await?;
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
                        large.extend(left.and_then(|left| self.finish_scope(left)));
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
        large.extend(placed.and_then(|left| self.finish_scope(left)));
        for placed in large {
            self.walk_scope(&placed).await?;
        }
        Ok(())
    }

    /// Returns a page of keys, each with its order, and whether the page is the last one.
    async fn claims_after(
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

    /// Checks a key against its order. The order was read after the key, so it has reached every version that
    /// a key can name.
    fn judge_claim(&mut self, key: &ScopedKey, order_id: OrderId, version: u32, order: Option<&Order>) {
        let ScopedKey { account_id, restaurant_id, .. } = key;
        let Some(order) = order else {
            return self.found(
                FindingCode::KeyOrder,
                key,
                order_id,
                "names this order, which does not exist",
            );
        };
        let details = &order.details;
        if !(1..=order.version).contains(&version) {
            let text =
                format!("names version {version} of this order, which has versions 1 to {}", order.version);
            self.found(FindingCode::KeyVersion, key, order_id, &text);
        }
        if Some(details.restaurant_id) != *restaurant_id {
            let text = format!("names this order, which belongs to restaurant {}", details.restaurant_id);
            self.found(FindingCode::KeyOrder, key, order_id, &text);
        }
        if places(order, version) && details.customer_id != *account_id {
            let text = format!("placed this order, which belongs to account {}", details.customer_id);
            self.found(FindingCode::KeyAccount, key, order_id, &text);
        }
    }

    fn found(&mut self, code: FindingCode, key: &ScopedKey, order_id: OrderId, text: &str) {
        let text = format!("a key of {} {text}", describe_scope(scope_of(key)));
        self.report.add(Finding::new(code, order_id, text));
    }

    /// Reports the orders of a finished scope that were placed twice. Returns the scope if it is too large to
    /// know that yet.
    fn finish_scope(&mut self, placed: Placed) -> Option<Placed> {
        if placed.keys > self.bounds.placed {
            return Some(placed);
        }
        for order_id in placed.twice {
            self.placed_twice(placed.scope, order_id);
        }
        None
    }

    fn placed_twice(&mut self, scope: Scope, order_id: OrderId) {
        let text = format!("two keys of {} placed this order", describe_scope(scope));
        self.report.add(Finding::new(FindingCode::PlacedTwice, order_id, text));
    }

    /// Reads the keys of a large scope once for each part of its orders, and reports the orders that were
    /// placed twice.
    async fn walk_scope(&mut self, placed: &Placed) -> Result<(), AuditError> {
        let Placed { scope, start, keys, .. } = placed;
        let parts = u128::try_from(keys.div_ceil(self.bounds.placed)).unwrap_or(u128::MAX);
        for part in 0..parts {
            let mut seen = HashSet::new();
            let mut after = start.clone();
            loop {
                let (page, is_last) = self.claims_after(after.as_ref()).await?;
                let is_beyond = page.last().is_some_and(|(last, _)| scope_of(&last.key) > *scope);
                for (StoredClaim { key, record }, order) in page {
                    // The last bits of an id are random, so they divide the orders evenly.
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
