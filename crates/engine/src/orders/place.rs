//! The use case that places an order.

use std::sync::Arc;

use dabba_domain::{
    Actor, Amount, OrderId, Problems, RestaurantId, Role, Timestamp,
    order::{Fulfilment, OrderDetails, OrderRequest, TERMS_VERSION, place},
    pricing::price,
};
use dabba_store::{Catalogue, Claim, IdempotencyKey, StockChange};
use tokio::time::Instant;

use super::{OrderAnswer, Orders, Reply, Viewer, open::Reservation, quote};
use crate::{
    CatalogueEntry, Conflict, Error, Principal, Scope,
    claims::claim,
    clock::after,
    order_writer::{Conditions, Decide, Proposal, Verdict},
    post_commit::CacheChange,
};

/// An order that is being placed.
struct Placing<'a> {
    orders: &'a Orders,
    principal: &'a Principal,
    request: &'a OrderRequest,
    claim: Claim,
    viewer: Viewer,
    /// The catalogue from which the order is priced.
    entry: Arc<CatalogueEntry>,
    /// The reserved place among the customer's open orders. Held until the order is written.
    reserved: Option<Reservation>,
}

impl Decide for Placing<'_> {
    type Result = Reply;

    async fn decide(&mut self) -> Result<Verdict<Reply>, Error> {
        let Self { orders, principal, request, claim, viewer, entry, reserved } = self;
        let restaurant_id = entry.restaurant().id;
        let now = orders.clock.now();
        let details = match orders.details(principal, &entry.catalogue, request, now) {
            Ok(details) => details,
            Err(error) => {
                let refused = orders.refuse(error, *viewer, entry, request, claim);
                return Box::pin(refused).await.map(Verdict::Conclude);
            }
        };
        if reserved.is_none() {
            match orders.reserve_order(principal.account_id).await {
                Ok(reservation) => *reserved = Some(reservation),
                // The retry of a placed order is answered even if the customer has too many open orders.
                Err(refusal) => {
                    let refused = orders.replay_or(Err(refusal), *viewer, restaurant_id, Some(claim));
                    return Box::pin(refused).await.map(Verdict::Conclude);
                }
            }
        }
        let stock = details.stock_drawn.iter().cloned().map(StockChange::Take).collect();
        let id = OrderId::generate(now, restaurant_id.bucket(), orders.random.next_u64());
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
        let placed = Arc::new(decision.order.clone());
        let cache_change = CacheChange::Insert(Arc::clone(&placed));
        let proposal = Box::new(Proposal { decision, conditions, cache_change });
        Ok(Verdict::Write(proposal, Reply::new(placed, *viewer)))
    }

    async fn data_changed(&mut self) -> Result<(), Error> {
        self.entry = self.orders.catalogue_cache.refresh(self.entry.restaurant().id).await?;
        Ok(())
    }
}

impl Orders {
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
    ) -> Result<OrderAnswer, Error> {
        let began = Instant::now();
        let placed = self.place_order(principal, restaurant_id, request, key).await;
        // A replay places nothing: in a storm of retries it would hide how long placing takes.
        if placed.as_ref().is_ok_and(|answer| !answer.replayed) {
            let shard = self.store.shard_of(restaurant_id.bucket());
            self.latency.record(shard, self.clock.now(), began.elapsed());
        }
        placed
    }

    async fn place_order(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        request: &OrderRequest,
        key: IdempotencyKey,
    ) -> Result<OrderAnswer, Error> {
        principal.require(Scope::WriteOrders)?;
        if principal.role != Role::Customer {
            return Err(Error::Forbidden("only a customer may place an order".into()));
        }
        let claim = claim(principal.account_id, key, &("place", request))?;
        let actor = Actor::customer(principal.account_id);
        let viewer = Viewer { actor, refund_limit: Amount::ZERO };
        let entry = self.catalogue_cache.get(restaurant_id).await?;
        let placing = Placing { orders: self, principal, request, claim, viewer, entry, reserved: None };
        let outcome = self.writer.decide_and_write(placing).await?;
        self.answer(outcome).await
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
    ) -> Result<Reply, Error> {
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
            terms_version: TERMS_VERSION,
            restaurant_id: catalogue.restaurant.id,
            restaurant_name: settings.name.clone(),
            customer_id: principal.account_id,
            stock_drawn: quote::limited_draws(catalogue, cart),
            lines: quote.lines,
            fees: quote.fees,
            taxes: quote.taxes,
            currency: settings.currency,
            amounts: quote.amounts,
            fulfilment: request.fulfilment.clone(),
            delivery_zone: quote.delivery_zone,
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
        Ok(Some(after(now, self.payments.config.deadline)))
    }
}

fn check_address(request: &OrderRequest) -> Result<(), Error> {
    let mut problems = Problems::new();
    if let Fulfilment::Delivery { address } = &request.fulfilment {
        address.check("/fulfilment/address", &mut problems);
    }
    problems.into_result().map_err(Error::Invalid)
}
