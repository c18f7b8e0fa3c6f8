//! Pricing of a cart into itemized amounts. The same function prices quotes and orders.
//!
//! Rules:
//! - the total of a line is (item price + prices of its options) × quantity; the subtotal is the sum of the lines;
//! - the tax is the restaurant's rate on the subtotal, rounded half up to a minor unit once per order; delivery fee and
//!   tip are not taxed;
//! - the delivery fee is charged for delivery if the subtotal is below the free threshold;
//! - total = subtotal + tax + delivery fee + tip − discount.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    Amount, Problems,
    limits::{MAX_CHOSEN_OPTIONS, MAX_LINES, MAX_QUANTITY},
    menu::{Menu, MenuItem, OptionGroup},
    money::AmountError,
    order::PaymentMethod,
    problem::whole_number,
    restaurant::RestaurantSettings,
    text::{Name, Note, Slug},
};

/// The items that a customer wants, not yet priced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Cart {
    /// Lines of the cart, at least one.
    pub lines: Vec<CartLine>,
    /// How the food gets to the customer.
    pub fulfilment: FulfilmentKind,
    /// Tip for the courier; if the customer collects, for the staff.
    #[serde(default)]
    pub tip: Amount,
    /// Payment method. If it is stated, the quote also reports an amount that the payment provider does not accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
}

/// A borrowed cart: a whole [`Cart`], or a part of an order request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CartRef<'a> {
    /// See [`Cart::lines`].
    pub lines: &'a [CartLine],
    /// See [`Cart::fulfilment`].
    pub fulfilment: FulfilmentKind,
    /// See [`Cart::tip`].
    pub tip: Amount,
}

impl<'a> From<&'a Cart> for CartRef<'a> {
    fn from(cart: &'a Cart) -> Self {
        Self { lines: &cart.lines, fulfilment: cart.fulfilment, tip: cart.tip }
    }
}

/// A quantity of one item with the same options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CartLine {
    /// The item's id in the menu.
    pub item: Slug,
    /// Quantity, from 1 to 99.
    pub quantity: u32,
    /// Chosen options, each at most once.
    #[serde(default)]
    pub options: Vec<ChosenOption>,
    /// Note for the kitchen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// An option chosen in a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChosenOption {
    /// The group's id in the item.
    pub group: Slug,
    /// The option's id in the group.
    pub option: Slug,
}

/// How the food gets to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FulfilmentKind {
    /// A courier brings it.
    Delivery,
    /// The customer collects it.
    Collection,
}

/// A priced cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedCart {
    /// Lines, in the order of the cart.
    pub lines: Vec<OrderLine>,
    /// Amounts to be paid.
    pub amounts: Amounts,
}

/// A line as it was sold, with the names and prices at the time of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderLine {
    /// The item's id in the menu.
    pub item: Slug,
    /// The item's name.
    pub name: Name,
    /// Quantity.
    pub quantity: u32,
    /// Price of one item with its options.
    pub unit_price: Amount,
    /// `unit_price` × `quantity`.
    pub total: Amount,
    /// Chosen options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OrderLineOption>,
    /// Note for the kitchen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// An option as it was sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderLineOption {
    /// The group's id in the item.
    pub group: Slug,
    /// The option's id in the group.
    pub option: Slug,
    /// The option's name.
    pub name: Name,
    /// Amount that the option adds to the price of one item.
    pub price: Amount,
}

/// Itemized amounts to be paid, in minor units of the order's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Amounts {
    /// Sum of the lines.
    pub subtotal: Amount,
    /// Tax on the subtotal.
    pub tax: Amount,
    /// Fee for delivery.
    pub delivery_fee: Amount,
    /// Tip for the courier or the staff.
    pub tip: Amount,
    /// Discount. No rule grants a discount yet, so it is always zero.
    pub discount: Amount,
    /// Total that the customer pays.
    pub total: Amount,
}

impl Amounts {
    /// Returns the total that results from the other amounts.
    pub fn sum(&self) -> Result<Amount, AmountError> {
        Amount::sum([self.subtotal, self.tax, self.delivery_fee, self.tip])?.minus(self.discount)
    }
}

/// Prices a cart with the settings and the menu of a restaurant. The error lists every problem of the cart.
///
/// A quote is possible at any time, so this function does not check whether the cart can be ordered now. For that, see
/// [`check_minimum`], [`crate::restaurant::Restaurant::check_accepting`] and
/// [`crate::menu::UnavailableItems::of_cart`].
pub fn price(settings: &RestaurantSettings, menu: &Menu, cart: CartRef<'_>) -> Result<PricedCart, Problems> {
    let mut problems = Problems::new();
    if cart.lines.is_empty() {
        problems.add("/lines", "must not be empty");
    }
    if cart.lines.len() > MAX_LINES {
        problems.add("/lines", format!("must be at most {MAX_LINES} lines, not {}", cart.lines.len()));
    }
    match cart.fulfilment {
        FulfilmentKind::Delivery if settings.delivery.is_none() => {
            problems.add("/fulfilment", "must be collection: this restaurant does not deliver");
        }
        FulfilmentKind::Collection if !settings.collection => {
            problems.add("/fulfilment", "must be delivery: this restaurant does not let customers collect");
        }
        FulfilmentKind::Delivery | FulfilmentKind::Collection => {}
    }
    let mut lines = Vec::with_capacity(cart.lines.len().min(MAX_LINES));
    for (index, line) in cart.lines.iter().take(MAX_LINES).enumerate() {
        let pointer = format!("/lines/{index}");
        let Some(item) = menu.item(line.item.as_str()) else {
            problems.add(format!("{pointer}/item"), format!("{} is not on the menu", line.item));
            continue;
        };
        lines.extend(price_line(item, line, &pointer, &mut problems));
    }
    let amounts = problems.check("", add_up(settings, cart, &lines));
    problems.into_result()?;
    // For a missing amount, a problem was added above.
    let amounts = amounts.ok_or_else(|| Problems::one("", AmountError.to_string()))?;
    Ok(PricedCart { lines, amounts })
}

/// The subtotal of an order for delivery is below the restaurant's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subtotal is below the restaurant's minimum for delivery of {} minor units", minimum.minor())]
pub struct BelowMinimum {
    /// Minimum subtotal for delivery.
    pub minimum: Amount,
}

/// Checks that the subtotal reaches the minimum for delivery. Orders for collection have no minimum.
pub fn check_minimum(
    settings: &RestaurantSettings,
    fulfilment: FulfilmentKind,
    subtotal: Amount,
) -> Result<(), BelowMinimum> {
    match (fulfilment, &settings.delivery) {
        (FulfilmentKind::Delivery, Some(terms)) if subtotal < terms.minimum_order => {
            Err(BelowMinimum { minimum: terms.minimum_order })
        }
        _ => Ok(()),
    }
}

fn price_line(item: &MenuItem, line: &CartLine, pointer: &str, problems: &mut Problems) -> Option<OrderLine> {
    if line.quantity == 0 || line.quantity > MAX_QUANTITY {
        let text = format!("must be {}, not {}", whole_number(1, MAX_QUANTITY), line.quantity);
        problems.add(format!("{pointer}/quantity"), text);
    }
    let options = choose_options(item, line, pointer, problems);
    let unit_price =
        Amount::sum(std::iter::once(item.price_minor).chain(options.iter().map(|option| option.price)));
    let unit_price = problems.check(pointer, unit_price)?;
    let total = problems.check(pointer, unit_price.times(line.quantity))?;
    Some(OrderLine {
        item: item.id.clone(),
        name: item.name.clone(),
        quantity: line.quantity,
        unit_price,
        total,
        options,
        note: line.note.clone(),
    })
}

/// Returns the chosen options, and checks the minimum and maximum of each group.
fn choose_options(
    item: &MenuItem,
    line: &CartLine,
    pointer: &str,
    problems: &mut Problems,
) -> Vec<OrderLineOption> {
    let pointer = format!("{pointer}/options");
    if line.options.len() > MAX_CHOSEN_OPTIONS {
        problems.add(pointer, format!("must be at most {MAX_CHOSEN_OPTIONS} options"));
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(line.options.len());
    let mut chosen = Vec::with_capacity(line.options.len());
    for (index, choice) in line.options.iter().enumerate() {
        let Some(group) = item.group(choice.group.as_str()) else {
            problems.add(
                format!("{pointer}/{index}/group"),
                format!("{} has no group {}", item.id, choice.group),
            );
            continue;
        };
        let Some(option) = group.option(choice.option.as_str()) else {
            problems.add(
                format!("{pointer}/{index}/option"),
                format!("{} has no option {}", group.id, choice.option),
            );
            continue;
        };
        if !seen.insert(choice) {
            problems.add(format!("{pointer}/{index}"), format!("{} must not be chosen twice", option.id));
            continue;
        }
        chosen.push(OrderLineOption {
            group: group.id.clone(),
            option: option.id.clone(),
            name: option.name.clone(),
            price: option.price_minor,
        });
    }
    for group in &item.option_groups {
        check_group(group, &chosen, &pointer, problems);
    }
    chosen
}

fn check_group(group: &OptionGroup, chosen: &[OrderLineOption], pointer: &str, problems: &mut Problems) {
    let count = chosen.iter().filter(|option| option.group == group.id).count();
    let OptionGroup { id, min, max, .. } = group;
    if count < usize::try_from(*min).unwrap_or(usize::MAX) {
        problems.add(pointer, format!("{id} needs at least {min}, not {count}"));
    } else if count > usize::try_from(*max).unwrap_or(usize::MAX) {
        problems.add(pointer, format!("{id} allows at most {max}, not {count}"));
    }
}

fn add_up(
    settings: &RestaurantSettings,
    cart: CartRef<'_>,
    lines: &[OrderLine],
) -> Result<Amounts, AmountError> {
    let subtotal = Amount::sum(lines.iter().map(|line| line.total))?;
    let tax = subtotal.basis_points(settings.tax_rate_basis_points)?;
    let delivery_fee = match (cart.fulfilment, &settings.delivery) {
        (FulfilmentKind::Delivery, Some(terms))
            if terms.free_from.is_none_or(|free_from| subtotal < free_from) =>
        {
            terms.fee
        }
        _ => Amount::ZERO,
    };
    let mut amounts = Amounts { subtotal, tax, delivery_fee, tip: cart.tip, ..Amounts::default() };
    amounts.total = amounts.sum()?;
    Ok(amounts)
}
