//! The use case that places an order.

use dabba_domain::{
    Actor, Amount, OrderId, Problems, RestaurantId, Role, Timestamp,
    order::{Fulfilment, OrderDetails, OrderRequest, place},
    pricing::price,
};
use dabba_store::{Catalogue, Claim, IdempotencyKey, StockChange};

use super::{Answer, Conclusion, Conditions, Viewer, claim, quote};
use crate::{CatalogueEntry, Conflict, Engine, Error, Principal};

impl Engine {
    /// Places an order, exactly once per idempotency key.
    ///
    /// The price is computed from the restaurant's menu. When the menu changes between pricing and writing, the order
    /// is priced again. If the new total differs from the total that the customer expects, the order is not placed.
    pub async fn place(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        request: &OrderRequest,
        key: IdempotencyKey,
    ) -> Result<Answer, Error> {
        if principal.role != Role::Customer {
            return Err(Error::Forbidden("only a customer may place an order".into()));
        }
        let claim = claim(principal.account_id, key, &("place", request))?;
        let actor = Actor::Customer { account_id: principal.account_id };
        let viewer = Viewer { actor, refund_limit: Amount::ZERO };
        let mut entry = self.catalogues.get(restaurant_id).await?;
        let mut reserved = None;
        for _ in 0..self.config.max_decision_attempts {
            let now = self.now();
            let details = match self.details(principal, &entry.catalogue, request, now) {
                Ok(details) => details,
                Err(error) => return Box::pin(self.refuse(error, viewer, &entry, request, &claim)).await,
            };
            if reserved.is_none() {
                match self.reserve_order(principal.account_id).await {
                    Ok(reservation) => reserved = Some(reservation),
                    // The retry of a placed order is answered even if the customer has too many open orders.
                    Err(refusal) => {
                        let refused = Err(refusal);
                        return Box::pin(self.replay_or(refused, viewer, restaurant_id, Some(&claim))).await;
                    }
                }
            }
            let stock = details.stock_drawn.iter().cloned().map(StockChange::Take).collect();
            let id = OrderId::generate(now, restaurant_id.bucket(), self.random.next_u64());
            let card = request.payment_token.as_ref();
            let decision = place(id, details, card, &entry.restaurant().settings, now)
                .map_err(|rejection| Error::Internal(rejection.to_string()))?;
            let conditions = Conditions {
                expected_version: 0,
                status_before: None,
                claim: Some(claim.clone()),
                catalogue: Some(entry.catalogue.guard()),
                stock,
                completes: None,
            };
            match self.submit(decision, conditions, viewer).await? {
                Conclusion::Answered(answer) => return Ok(*answer),
                Conclusion::Stale => entry = self.catalogues.refresh(restaurant_id).await?,
            }
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Returns the answer for an order that cannot be placed: the earlier answer under its key, or an error that lists
    /// every obstacle.
    async fn refuse(
        &self,
        refusal: Error,
        viewer: Viewer,
        entry: &CatalogueEntry,
        request: &OrderRequest,
        claim: &Claim,
    ) -> Result<Answer, Error> {
        let restaurant_id = entry.restaurant().id;
        let refused = self.replay_or(Err(refusal), viewer, restaurant_id, Some(claim)).await;
        match refused {
            Err(refusal) => Err(self.with_shortages(refusal, &entry.catalogue, request.cart()).await),
            answered => answered,
        }
    }

    /// Prices a request, and checks everything that does not need the store.
    fn details(
        &self,
        principal: &Principal,
        catalogue: &Catalogue,
        request: &OrderRequest,
        now: Timestamp,
    ) -> Result<OrderDetails, Error> {
        let settings = &catalogue.restaurant.settings;
        check_address(request)?;
        let cart = request.cart();
        let priced = price(settings, &catalogue.menu, cart).map_err(Error::Invalid)?;
        let payment_deadline = self.payment_deadline(request, priced.amounts.total, now)?;
        let quote = self.quote_of(catalogue, cart, Some(request.payment_method), priced, now);
        if !quote.obstacles.is_empty() {
            return Err(Conflict::NotOrderable(quote.obstacles).into());
        }
        if request.expected_total.is_some_and(|expected| expected != quote.amounts.total) {
            return Err(Conflict::PriceChanged(Box::new(quote)).into());
        }
        Ok(OrderDetails {
            restaurant_id: catalogue.restaurant.id,
            restaurant_name: settings.name.clone(),
            customer_id: principal.account_id,
            stock_drawn: quote::limited_draws(catalogue, cart),
            lines: quote.lines,
            currency: settings.currency,
            amounts: quote.amounts,
            fulfilment: request.fulfilment.clone(),
            contact: request.contact.clone(),
            payment_method: request.payment_method,
            payment_deadline,
            note: request.note.clone(),
            menu_revision: catalogue.menu_revision,
        })
    }

    /// Returns the deadline of the payment; `None` if nothing has to be authorized: for payment in cash, and for a
    /// total of zero.
    fn payment_deadline(
        &self,
        request: &OrderRequest,
        total: Amount,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        if request.card().map_err(Error::Invalid)?.is_none() || total.is_zero() {
            return Ok(None);
        }
        Ok(Some(now.checked_add(self.config.payments.deadline).unwrap_or(Timestamp::MAX)))
    }
}

fn check_address(request: &OrderRequest) -> Result<(), Error> {
    let mut problems = Problems::new();
    if let Fulfilment::Delivery { address } = &request.fulfilment
        && let Some(location) = &address.location
    {
        location.check("/fulfilment/address/location", &mut problems);
    }
    problems.into_result().map_err(Error::Invalid)
}
