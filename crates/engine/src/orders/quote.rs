//! Price of a cart before an order is placed, and the obstacles to ordering it.

use std::{collections::HashMap, fmt};

use dabba_domain::{
    Currency, RestaurantId, Timestamp,
    menu::{UnavailableItem, UnavailableOption},
    order::{OrderZone, PaymentMethod, StockDraw},
    pricing::{
        Amounts, BelowMinimum, CartRef, OrderFee, OrderLine, OrderTax, OutsideZones, PricedCart,
        check_minimum, check_place, price,
    },
    restaurant::{NotAcceptingReason, Revision},
    text::Slug,
};
use dabba_store::{Catalogue, StockShortage};

use super::Orders;
use crate::{AmountNotAccepted, Conflict, Error};

/// The current price of a cart, and the obstacles to ordering it.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// The lines with their prices.
    pub lines: Vec<OrderLine>,
    /// The fees with their taxes.
    pub fees: Vec<OrderFee>,
    /// The taxes.
    pub taxes: Vec<OrderTax>,
    /// The currency of every amount.
    pub currency: Currency,
    /// The amounts that the customer would pay.
    pub amounts: Amounts,
    /// The delivery zone of the address, if the restaurant has delivery zones.
    pub delivery_zone: Option<OrderZone>,
    /// The revision of the menu that was used for the price.
    pub menu_revision: Revision,
    /// Every reason why the cart cannot be ordered now.
    pub obstacles: Vec<Obstacle>,
}

/// An obstacle to an order that depends on time, stock or the address. A cart that does not fit the menu has no quote; a cart that
/// cannot be ordered now has a quote with obstacles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The restaurant does not accept orders now.
    NotAccepting(NotAcceptingReason),
    /// The address is outside all delivery zones of the restaurant.
    OutsideZones(OutsideZones),
    /// Some items are not available now.
    ItemsUnavailable(Vec<UnavailableItem>),
    /// Some items are outside their hours, or outside the hours of their category. The end of each is the first moment
    /// within the hours.
    ItemsOutsideHours(Vec<UnavailableItem>),
    /// Some options are not available now.
    OptionsUnavailable(Vec<UnavailableOption>),
    /// The order is too small to be delivered.
    BelowMinimum(BelowMinimum),
    /// The server accepts no cards, because it has no payment provider. Reported only if the customer states payment by
    /// card.
    CardsNotAccepted,
    /// The payment provider does not accept the total. Reported only if the customer states payment by card.
    NotPayableByCard(AmountNotAccepted),
    /// The stock of some items is too low.
    OutOfStock(Vec<StockShortage>),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAccepting(reason) => reason.fmt(formatter),
            Self::OutsideZones(outside) => outside.fmt(formatter),
            Self::ItemsUnavailable(items) => {
                formatter.write_str("items are not available: ")?;
                write_items(formatter, items, "until")
            }
            Self::ItemsOutsideHours(items) => {
                formatter.write_str("items cannot be ordered at this time: ")?;
                write_items(formatter, items, "again from")
            }
            Self::OptionsUnavailable(options) => {
                formatter.write_str("options are not available: ")?;
                for (index, unavailable) in options.iter().enumerate() {
                    let UnavailableOption { item, group, option, until } = unavailable;
                    let separator = if index == 0 { "" } else { ", " };
                    write!(formatter, "{separator}{option} in {group} of {item}")?;
                    if let Some(until) = until {
                        write!(formatter, " (until {until})")?;
                    }
                }
                Ok(())
            }
            Self::BelowMinimum(below) => below.fmt(formatter),
            Self::CardsNotAccepted => {
                formatter.write_str("this server accepts no cards; the payment method must be cash")
            }
            Self::NotPayableByCard(refusal) => refusal.fmt(formatter),
            Self::OutOfStock(shortages) => {
                formatter.write_str("there is not enough in stock: ")?;
                for (index, StockShortage { item, available }) in shortages.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(formatter, "{separator}{item} ({available} left)")?;
                }
                Ok(())
            }
        }
    }
}

/// Writes a list of items, each with its end after `word`.
fn write_items(formatter: &mut fmt::Formatter<'_>, items: &[UnavailableItem], word: &str) -> fmt::Result {
    for (index, UnavailableItem { item, until }) in items.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(formatter, "{separator}{item}")?;
        if let Some(until) = until {
            write!(formatter, " ({word} {until})")?;
        }
    }
    Ok(())
}

impl Orders {
    /// Prices a cart, for a payment method if it is known. For everyone: menus are public.
    pub async fn quote(
        &self,
        restaurant_id: RestaurantId,
        cart: CartRef<'_>,
        payment_method: Option<PaymentMethod>,
    ) -> Result<Quote, Error> {
        let entry = self.catalogue_cache.get(restaurant_id).await?;
        let now = self.clock.now();
        let priced = price(&entry.restaurant().settings, entry.menu(), cart).map_err(Error::Invalid)?;
        let draws = limited_draws(&entry.catalogue, cart);
        let mut quote = self.quote_of(&entry.catalogue, cart, payment_method, priced, now);
        if !draws.is_empty() {
            quote.obstacles.extend(self.shortages(restaurant_id, draws).await?);
        }
        Ok(quote)
    }

    /// Returns a quote without the obstacle of stock, which only the store knows. The obstacles are sorted: the first
    /// one determines the code of a refusal.
    pub(super) fn quote_of(
        &self,
        catalogue: &Catalogue,
        cart: CartRef<'_>,
        payment_method: Option<PaymentMethod>,
        priced: PricedCart,
        now: Timestamp,
    ) -> Quote {
        let settings = &catalogue.restaurant.settings;
        let PricedCart { lines, fees, taxes, amounts } = priced;
        let mut obstacles = Vec::new();
        obstacles.extend(catalogue.restaurant.check_accepting(now).err().map(Obstacle::NotAccepting));
        let delivery_zone = check_place(settings, cart).unwrap_or_else(|outside| {
            obstacles.push(Obstacle::OutsideZones(outside));
            None
        });
        let unavailable = catalogue.unavailable.of_cart(cart, now);
        if !unavailable.is_empty() {
            obstacles.push(Obstacle::ItemsUnavailable(unavailable));
        }
        let outside = catalogue.menu.outside_hours(cart, &settings.time_zone, now);
        if !outside.is_empty() {
            obstacles.push(Obstacle::ItemsOutsideHours(outside));
        }
        let options = catalogue.menu.unavailable_options(cart, now);
        if !options.is_empty() {
            obstacles.push(Obstacle::OptionsUnavailable(options));
        }
        let minimum = check_minimum(settings, cart, amounts.subtotal);
        obstacles.extend(minimum.err().map(Obstacle::BelowMinimum));
        obstacles.extend(self.payments.not_payable(payment_method, amounts.total, settings.currency));
        let currency = settings.currency;
        Quote {
            lines,
            fees,
            taxes,
            currency,
            amounts,
            delivery_zone,
            menu_revision: catalogue.menu_revision,
            obstacles,
        }
    }

    /// Adds the items with too little stock to a refusal that lists obstacles. Only the store knows the stock; if it
    /// cannot be read, the refusal stays unchanged.
    pub(super) async fn with_shortages(
        &self,
        refusal: Error,
        catalogue: &Catalogue,
        cart: CartRef<'_>,
    ) -> Error {
        let mut refusal = refusal;
        let obstacles = match &mut refusal {
            Error::Conflict(Conflict::NotOrderable(obstacles)) => obstacles,
            Error::Conflict(Conflict::PriceChanged(quote)) => &mut quote.obstacles,
            _ => return refusal,
        };
        let draws = limited_draws(catalogue, cart);
        if !draws.is_empty()
            && let Ok(shortages) = self.shortages(catalogue.restaurant.id, draws).await
        {
            obstacles.extend(shortages);
        }
        refusal
    }

    async fn shortages(
        &self,
        restaurant_id: RestaurantId,
        draws: Vec<StockDraw>,
    ) -> Result<Option<Obstacle>, Error> {
        let levels = self.store.stock(restaurant_id).await?;
        let levels: HashMap<Slug, u32> =
            levels.into_iter().map(|level| (level.item, level.remaining)).collect();
        let shortage = |draw: StockDraw| {
            let available = levels.get(&draw.item).copied().unwrap_or(0);
            (available < draw.quantity).then_some(StockShortage { item: draw.item, available })
        };
        let shortages: Vec<_> = draws.into_iter().filter_map(shortage).collect();
        Ok((!shortages.is_empty()).then_some(Obstacle::OutOfStock(shortages)))
    }
}

/// Returns the stock that an order takes: one entry per limited item, even if several lines contain the item.
pub(super) fn limited_draws(catalogue: &Catalogue, cart: CartRef<'_>) -> Vec<StockDraw> {
    let mut draws: Vec<StockDraw> = Vec::new();
    if catalogue.limited.is_empty() {
        return draws;
    }
    for line in cart.lines.iter().filter(|line| catalogue.limited.contains(&line.item)) {
        match draws.iter_mut().find(|draw| draw.item == line.item) {
            Some(draw) => draw.quantity += line.quantity,
            None => draws.push(StockDraw { item: line.item.clone(), quantity: line.quantity }),
        }
    }
    draws
}
