//! Lists of orders.
//!
//! A list is read from one or two ranges of an index, each newest first: terminal orders, open orders, or all orders. A
//! restaurant's list is the open range followed by the terminal range; a courier's list merges both. A filter by status
//! skips the range in which no order can match, so that the most frequent list, of open orders, never reads terminal
//! orders.

use dabba_domain::order::{Order, OrderStatus};
use dabba_store::{OrderCursor, OrderPage, OrderQuery, OrderScope};
use uuid::Uuid;

use crate::ABOVE_EVERY_ID;

/// A range of an index that holds orders newest first. Each store has a statement for each range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexRange {
    /// A customer's orders.
    Customer,
    /// A restaurant's open orders.
    RestaurantOpen,
    /// A restaurant's terminal orders.
    RestaurantTerminal,
    /// A courier's open orders.
    CourierOpen,
    /// A courier's terminal orders.
    CourierTerminal,
    /// All open orders.
    AllOpen,
    /// All orders.
    All,
}

impl IndexRange {
    /// Every range.
    pub const EVERY: [Self; 7] = [
        Self::Customer,
        Self::RestaurantOpen,
        Self::RestaurantTerminal,
        Self::CourierOpen,
        Self::CourierTerminal,
        Self::AllOpen,
        Self::All,
    ];

    /// Returns the name of the range.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::RestaurantOpen => "restaurant_open",
            Self::RestaurantTerminal => "restaurant_terminal",
            Self::CourierOpen => "courier_open",
            Self::CourierTerminal => "courier_terminal",
            Self::AllOpen => "all_open",
            Self::All => "all",
        }
    }
}

/// A part of an index range that a list reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeRead {
    /// The range.
    pub range: IndexRange,
    /// Owner of the orders; any value for a range without an owner.
    pub owner: Uuid,
    /// The orders have ids below this value.
    pub before: Uuid,
}

/// The reads that make a page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlan {
    /// At most two reads, in the order of the list. Two reads must show the same moment; otherwise an order that ends
    /// meanwhile appears in both.
    pub reads: Vec<RangeRead>,
    /// Number of orders that the page needs: one more than the page holds, which shows whether another page follows.
    pub wanted: usize,
    limit: usize,
    is_merged: bool,
}

impl ListPlan {
    /// Returns the plan for a query.
    pub fn new(query: &OrderQuery) -> Self {
        let before = query.after.map_or(ABOVE_EVERY_ID, |cursor| cursor.order_id.uuid());
        let (open, terminal) = (may_match(&query.statuses, false), may_match(&query.statuses, true));
        let read = |range, owner, before| RangeRead { range, owner, before };
        let (first, second) = match query.scope {
            OrderScope::Customer(id) => (Some(read(IndexRange::Customer, id.uuid(), before)), None),
            OrderScope::All => {
                let range = if terminal { IndexRange::All } else { IndexRange::AllOpen };
                (Some(read(range, ABOVE_EVERY_ID, before)), None)
            }
            OrderScope::Courier(id) => (
                open.then(|| read(IndexRange::CourierOpen, id.uuid(), before)),
                terminal.then(|| read(IndexRange::CourierTerminal, id.uuid(), before)),
            ),
            OrderScope::Restaurant(id) => {
                let is_after_open_orders = query.after.is_some_and(|cursor| cursor.terminal);
                let before_terminal = if is_after_open_orders { before } else { ABOVE_EVERY_ID };
                (
                    (open && !is_after_open_orders)
                        .then(|| read(IndexRange::RestaurantOpen, id.uuid(), before)),
                    terminal.then(|| read(IndexRange::RestaurantTerminal, id.uuid(), before_terminal)),
                )
            }
        };
        let limit = query.limit.get() as usize;
        Self {
            reads: first.into_iter().chain(second).collect(),
            wanted: limit + 1,
            limit,
            is_merged: matches!(query.scope, OrderScope::Courier(_)),
        }
    }

    /// Returns how many orders the next read must return at most if the reads before it returned `found` orders.
    pub const fn missing(&self, found: usize) -> usize {
        if self.is_merged { self.wanted } else { self.wanted.saturating_sub(found) }
    }

    /// Returns the page of the orders that the reads returned, in the order of the reads.
    pub fn page(&self, mut orders: Vec<Order>) -> OrderPage {
        if self.is_merged {
            orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
        }
        let is_more = orders.len() > self.limit;
        orders.truncate(self.limit);
        let next = if is_more { orders.last().map(OrderCursor::after) } else { None };
        OrderPage { orders, next, incomplete: false }
    }
}

/// Returns whether any terminal order, or any open order, can match a filter.
fn may_match(statuses: &[OrderStatus], terminal: bool) -> bool {
    statuses.is_empty() || statuses.iter().any(|status| status.is_terminal() == terminal)
}

#[cfg(test)]
mod tests {
    use dabba_store::{PageSize, conformance::builders::World};

    use super::*;

    /// Proves which ranges each list reads, with and without a filter, on the first page and after terminal orders.
    #[test]
    fn a_filter_skips_the_range_without_a_match() {
        use IndexRange::{
            All, AllOpen, CourierOpen, CourierTerminal, Customer, RestaurantOpen, RestaurantTerminal,
        };
        let mut world = World::new(1);
        let (restaurant, account) = (world.restaurant_id(), world.account_id());
        let order_id = world.place(restaurant, account).order_id;
        let (open, terminal) = (OrderStatus::Confirmed, OrderStatus::Delivered);
        let cursor = |terminal| Some(OrderCursor { terminal, order_id });
        for (scope, statuses, after, ranges) in [
            (OrderScope::Customer(account), vec![], None, vec![Customer]),
            (OrderScope::All, vec![], None, vec![All]),
            (OrderScope::All, vec![open, terminal], None, vec![All]),
            (OrderScope::All, vec![open], None, vec![AllOpen]),
            (OrderScope::Courier(account), vec![], cursor(true), vec![CourierOpen, CourierTerminal]),
            (OrderScope::Courier(account), vec![open], None, vec![CourierOpen]),
            (OrderScope::Courier(account), vec![terminal], None, vec![CourierTerminal]),
            (OrderScope::Restaurant(restaurant), vec![], None, vec![RestaurantOpen, RestaurantTerminal]),
            (OrderScope::Restaurant(restaurant), vec![open], cursor(false), vec![RestaurantOpen]),
            (OrderScope::Restaurant(restaurant), vec![terminal], None, vec![RestaurantTerminal]),
            (OrderScope::Restaurant(restaurant), vec![], cursor(true), vec![RestaurantTerminal]),
            (OrderScope::Restaurant(restaurant), vec![open], cursor(true), vec![]),
        ] {
            let query = OrderQuery { scope, statuses, after, limit: PageSize::DEFAULT };
            let plan = ListPlan::new(&query);
            assert_eq!(plan.reads.iter().map(|read| read.range).collect::<Vec<_>>(), ranges, "{query:?}");
        }
    }

    /// Proves that a cursor among the open orders of a restaurant does not bound the terminal orders.
    #[test]
    fn a_cursor_bounds_the_range_that_contains_it() {
        let mut world = World::new(2);
        let (restaurant, account) = (world.restaurant_id(), world.account_id());
        let order_id = world.place(restaurant, account).order_id;
        let limit = PageSize::new(10).unwrap();
        let plan = |terminal| {
            let after = Some(OrderCursor { terminal, order_id });
            let scope = OrderScope::Restaurant(restaurant);
            ListPlan::new(&OrderQuery { scope, statuses: vec![], after, limit })
        };
        let bounds = |plan: &ListPlan| plan.reads.iter().map(|read| read.before).collect::<Vec<_>>();
        assert_eq!(bounds(&plan(false)), [order_id.uuid(), ABOVE_EVERY_ID]);
        assert_eq!(bounds(&plan(true)), [order_id.uuid()]);
        assert_eq!([0, 4, 11, 12].map(|found| plan(false).missing(found)), [11, 7, 0, 0]);
    }
}
