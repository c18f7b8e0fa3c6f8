//! Pricing of a cart into itemized amounts. The same function prices quotes and orders.
//!
//! Rules:
//! - the total of a line is (item price + prices of the charged units of its options) × quantity; the subtotal is the sum of
//!   the lines;
//! - of the chosen options of a group, all units are charged except the cheapest ones, as many as the group has free; or one
//!   unit of the option with the highest price: see [`PriceBy`](crate::menu::PriceBy);
//! - an item has the taxes that it names, otherwise the restaurant's default taxes; an option has the taxes that it
//!   names, otherwise those of its item;
//! - the delivery fee is charged for delivery if the subtotal is below the free threshold; the delivery zone of the
//!   address states both, if the restaurant has zones; every other [fee](crate::fee) is charged if its conditions are met;
//! - [`tax`](crate::tax) describes the taxes on lines and fees; the tip is not taxed;
//! - total = subtotal + added taxes + delivery fee + other fees + tip − discount.

mod cart;
mod fulfilment;
mod lines;
mod priced;
mod terms;
mod totals;

use crate::{Problems, limits::MAX_LINES, menu::Menu, money::AmountError, restaurant::RestaurantSettings};

pub use cart::{Cart, CartLine, CartRef, ChosenOption, FulfilmentKind};
#[cfg(feature = "openapi")]
pub(crate) use fulfilment::QuoteFulfilment;
pub use fulfilment::{BelowMinimum, CartAddress, CartFulfilment, OutsideZones, check_minimum, check_place};
pub use priced::{
    Amounts, OptionRule, OrderFee, OrderLine, OrderLineOption, OrderTax, PricedCart, TaxShare, TaxedPart,
};

use fulfilment::check_fulfilment;
use lines::price_line;
use terms::TaxTerms;
use totals::total_up;

/// Prices a cart with the settings and the menu of a restaurant. The error lists every problem of the cart.
///
/// A quote is possible at any time, so this function does not check whether the cart can be ordered now. For that, see
/// [`check_place`], [`check_minimum`], [`crate::restaurant::Restaurant::check_accepting`] and
/// [`crate::menu::UnavailableItems::of_cart`].
pub fn price(settings: &RestaurantSettings, menu: &Menu, cart: CartRef<'_>) -> Result<PricedCart, Problems> {
    let mut problems = Problems::new();
    if cart.lines.is_empty() {
        problems.add("/lines", "must not be empty");
    }
    if cart.lines.len() > MAX_LINES {
        problems.add("/lines", format!("must be at most {MAX_LINES} lines, not {}", cart.lines.len()));
    }
    check_fulfilment(settings, cart, &mut problems);
    let terms = TaxTerms::of(settings);
    let mut lines = Vec::with_capacity(cart.lines.len().min(MAX_LINES));
    for (index, line) in cart.lines.iter().take(MAX_LINES).enumerate() {
        let pointer = format!("/lines/{index}");
        let Some(item) = menu.item(line.item.as_str()) else {
            problems.add(format!("{pointer}/item"), format!("{} is not on the menu", line.item));
            continue;
        };
        lines.extend(price_line(&terms, item, line, &pointer, &mut problems));
    }
    let priced = problems.check("", total_up(settings, &terms, cart, lines));
    problems.into_result()?;
    // Without a priced cart, a problem was added above.
    priced.ok_or_else(|| Problems::one("", AmountError.to_string()))
}
