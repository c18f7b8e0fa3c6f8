//! What a cart would cost, before anything is ordered.

use std::collections::HashMap;

use dabba_domain::{
    Currency, RestaurantId, Timestamp,
    order::{PaymentMethod, StockDraw},
    pricing::{Amounts, BelowMinimum, CartRef, OrderLine, PricedCart, check_minimum, price},
    restaurant::{NotAccepting, Revision},
    text::Slug,
};
use dabba_store::{Catalogue, StockShortage};

use crate::{AmountNotAccepted, Engine, Error};

/// What a cart would cost now, and what stands in the way of ordering it.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// The lines with their prices.
    pub lines: Vec<OrderLine>,
    /// The currency of every amount.
    pub currency: Currency,
    /// What would be paid.
    pub amounts: Amounts,
    /// The menu from which this was priced.
    pub menu_revision: Revision,
    /// Why the restaurant would not take it now.
    pub not_accepting: Option<NotAccepting>,
    /// It is too small to be delivered.
    pub below_minimum: Option<BelowMinimum>,
    /// The payment provider does not accept the total. Known where the customer says that they pay by card.
    pub not_payable: Option<AmountNotAccepted>,
    /// Of these there is not enough.
    pub shortages: Vec<StockShortage>,
}

impl Engine {
    /// Prices a cart, which will be paid like this where that is known. For everyone: menus are public.
    pub async fn quote(
        &self,
        restaurant_id: RestaurantId,
        cart: CartRef<'_>,
        payment_method: Option<PaymentMethod>,
    ) -> Result<Quote, Error> {
        let entry = self.catalogues.get(restaurant_id).await?;
        let now = self.now();
        let priced = price(&entry.restaurant().settings, entry.menu(), cart, now)?;
        let draws = limited_draws(&entry.catalogue, &priced.lines);
        let mut quote = quote(&entry.catalogue, cart, priced, now);
        quote.not_payable = self.not_payable(payment_method, &quote);
        if !draws.is_empty() {
            quote.shortages = self.shortages(restaurant_id, draws).await?;
        }
        Ok(quote)
    }

    /// Whether the payment provider does not accept a quote's total, by card.
    pub(super) fn not_payable(
        &self,
        payment_method: Option<PaymentMethod>,
        quote: &Quote,
    ) -> Option<AmountNotAccepted> {
        let gateway = self.gateway.as_ref().filter(|_| payment_method == Some(PaymentMethod::Card))?;
        let (total, currency) = (quote.amounts.total, quote.currency);
        AmountNotAccepted::check_payment(total, currency, gateway.port.rules(currency)).err()
    }

    async fn shortages(
        &self,
        restaurant_id: RestaurantId,
        draws: Vec<StockDraw>,
    ) -> Result<Vec<StockShortage>, Error> {
        let levels = self.store.stock(restaurant_id).await?;
        let levels: HashMap<Slug, u32> =
            levels.into_iter().map(|level| (level.item, level.remaining)).collect();
        let shortage = |draw: StockDraw| {
            let available = levels.get(&draw.item).copied().unwrap_or(0);
            (available < draw.quantity).then_some(StockShortage { item: draw.item, available })
        };
        Ok(draws.into_iter().filter_map(shortage).collect())
    }
}

/// A quote, but for the stock, which only the store knows.
pub(super) fn quote(catalogue: &Catalogue, cart: CartRef<'_>, priced: PricedCart, now: Timestamp) -> Quote {
    let settings = &catalogue.restaurant.settings;
    Quote {
        lines: priced.lines,
        currency: settings.currency,
        amounts: priced.amounts,
        menu_revision: catalogue.menu_revision,
        not_accepting: catalogue.restaurant.check_accepting(now).err(),
        below_minimum: check_minimum(settings, cart.fulfilment, priced.amounts.subtotal).err(),
        not_payable: None,
        shortages: Vec::new(),
    }
}

/// What an order takes from limited stock: one entry an item, however many lines it has.
pub(super) fn limited_draws(catalogue: &Catalogue, lines: &[OrderLine]) -> Vec<StockDraw> {
    let mut draws: Vec<StockDraw> = Vec::new();
    if catalogue.limited.is_empty() {
        return draws;
    }
    for line in lines.iter().filter(|line| catalogue.limited.contains(&line.item)) {
        match draws.iter_mut().find(|draw| draw.item == line.item) {
            Some(draw) => draw.quantity += line.quantity,
            None => draws.push(StockDraw { item: line.item.clone(), quantity: line.quantity }),
        }
    }
    draws
}
