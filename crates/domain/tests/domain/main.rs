//! Tests of the rules of an order, by tables and by properties.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod access;
mod bearers;
mod bill;
mod common;
mod deadlines;
mod effects;
mod external;
mod free;
mod histories;
mod hours;
mod itemized;
mod ledger;
mod lifecycle;
mod menu_hours;
mod menu_ids;
mod moves;
mod option_marks;
mod option_prices;
mod payments;
mod pricing;
mod provider;
mod refunds;
mod reversals;
mod steps;
mod taxes;
mod unavailable;
mod zones;
