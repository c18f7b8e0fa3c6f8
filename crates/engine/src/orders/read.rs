//! Use cases that read orders: by id, with their history, and in lists.

use dabba_domain::{
    AccountId, Actor, Amount, DisplayCode, OrderId, RestaurantId, Role, Timestamp,
    ledger::{LedgerPosting, ledger},
    order::{AllowedAction, Order, OrderStatus, RecordedEvent, Version, allowed_actions},
};
use dabba_store::{CodeMatches, CodeQuery, OrderCursor, OrderPage, OrderQuery, OrderScope, PageSize};

use super::Orders;
use crate::{Error, Principal, Scope};

/// Maximum number of searches by display code at the same time. Others wait: a search reads up to
/// [`crate::EngineConfig::max_searched_ids`] ids of each shard.
pub(crate) const MAX_CODE_SEARCHES: usize = 2;

/// What an admin knows of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomerName {
    /// The customer's account.
    Account(AccountId),
    /// The e-mail address of the account, in any case.
    Email(String),
}

impl Orders {
    /// Returns an order, if it is visible to the caller.
    pub async fn order(&self, principal: &Principal, id: OrderId) -> Result<Order, Error> {
        self.visible_order(principal, id).await.map(|(order, _)| order)
    }

    /// Returns at most `limit` events of an order after a version, if the order is visible to the caller.
    pub async fn events(
        &self,
        principal: &Principal,
        id: OrderId,
        after: Version,
        limit: PageSize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.visible_order(principal, id).await?;
        Ok(self.store.events(id, after, limit.get()).await?)
    }

    /// Returns an order whose events the caller may receive.
    pub async fn order_for_events(&self, principal: &Principal, id: OrderId) -> Result<Order, Error> {
        principal.require_events()?;
        self.order_of_party(principal, id).await.map(|(order, _)| order)
    }

    /// Returns an order for its receipt. For its customer, the restaurant's staff and admins.
    pub async fn receipt(&self, principal: &Principal, id: OrderId) -> Result<Order, Error> {
        principal.require(Scope::ReadOrders)?;
        if principal.role == Role::Courier {
            return Err(Error::Forbidden("a courier sees no amounts, so no receipts".into()));
        }
        self.order(principal, id).await
    }

    /// Returns an order with its ledger. For the restaurant's staff and admins.
    pub async fn ledger(
        &self,
        principal: &Principal,
        id: OrderId,
    ) -> Result<(Order, Vec<LedgerPosting>), Error> {
        principal.require(Scope::ReadOrders)?;
        if !matches!(principal.role, Role::Restaurant | Role::Admin) {
            return Err(Error::Forbidden("the ledger is for the restaurant and for admins".into()));
        }
        let (order, _) = self.visible_order(principal, id).await?;
        let history = self.store.events(id, 0, order.version).await?;
        Ok((order, ledger(&history)))
    }

    /// Returns the actions that the caller may take on the order now; none if the credential may only read.
    pub async fn allowed_actions(
        &self,
        principal: &Principal,
        order: &Order,
    ) -> Result<Vec<AllowedAction>, Error> {
        if !principal.scopes.contains(Scope::WriteOrders) {
            return Ok(Vec::new());
        }
        let restaurant_id = order.details.restaurant_id;
        match self.accounts.actor(principal, restaurant_id).await? {
            Some(actor) => self.allowed_actions_of(&actor, order).await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns the actions that the actor may take on the order at its version.
    pub async fn allowed_actions_of(
        &self,
        actor: &Actor,
        order: &Order,
    ) -> Result<Vec<AllowedAction>, Error> {
        // The refund limit is read only for the restaurant's staff: a customer's page contains orders of many
        // restaurants.
        let refund_limit = match actor {
            Actor::Restaurant { .. } => match self.catalogue_cache.get(order.details.restaurant_id).await {
                Ok(entry) => entry.restaurant().settings.refund_limit,
                // The order can still be read. Only a newer server knows the restaurant's refund limit.
                Err(Error::WrittenByNewer) => Amount::ZERO,
                Err(error) => return Err(error),
            },
            _ => Amount::ZERO,
        };
        Ok(allowed_actions(order, actor, refund_limit))
    }

    /// Returns a page of the caller's orders: for a customer the placed orders, for a courier the assigned ones, for an
    /// admin all.
    pub async fn own_orders(
        &self,
        principal: &Principal,
        statuses: Vec<OrderStatus>,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, Error> {
        principal.require(Scope::ReadOrders)?;
        let scope = match principal.role {
            Role::Customer => OrderScope::Customer(principal.account_id),
            Role::Courier => OrderScope::Courier(principal.account_id),
            Role::Admin => OrderScope::All,
            Role::Restaurant => {
                return Err(Error::Forbidden("a restaurant's orders are listed under the restaurant".into()));
            }
        };
        Ok(self.store.list_orders(&OrderQuery { scope, statuses, after, limit }).await?)
    }

    /// Returns a page of the orders that a customer placed, newest first; an empty page if nobody has the address. For
    /// admins.
    pub async fn orders_of_customer(
        &self,
        principal: &Principal,
        customer: &CustomerName,
        statuses: Vec<OrderStatus>,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, Error> {
        principal.require(Scope::ReadOrders)?;
        principal.require_admin("search orders")?;
        let account_id = match customer {
            CustomerName::Account(id) => Some(*id),
            CustomerName::Email(email) => {
                // The result shows whether an address is registered.
                principal.require(Scope::ReadAccounts)?;
                self.accounts.id_of_email(email).await?
            }
        };
        let Some(account_id) = account_id else { return Ok(OrderPage::default()) };
        let scope = OrderScope::Customer(account_id);
        Ok(self.store.list_orders(&OrderQuery { scope, statuses, after, limit }).await?)
    }

    /// Returns the orders with a display code among the newest ones, newest first, and the time from which on the
    /// result is complete; `None` if it contains every order. For admins.
    pub async fn orders_with_code(
        &self,
        principal: &Principal,
        code: DisplayCode,
        statuses: &[OrderStatus],
        limit: PageSize,
    ) -> Result<(OrderPage, Option<Timestamp>), Error> {
        principal.require(Scope::ReadOrders)?;
        principal.require_admin("search orders")?;
        let permit = self.code_searches.acquire().await;
        let _permit = permit.map_err(|error| Error::Internal(error.to_string()))?;
        let query = CodeQuery { code, max_read: self.max_searched_ids, limit };
        let CodeMatches { ids, searched_since, incomplete } = self.store.orders_with_code(&query).await?;
        let mut orders = if ids.is_empty() { Vec::new() } else { self.store.orders(&ids).await? };
        orders.retain(|order| statuses.is_empty() || statuses.contains(&order.status));
        orders.sort_unstable_by_key(|order| std::cmp::Reverse(order.id));
        Ok((OrderPage { orders, next: None, incomplete }, searched_since))
    }

    /// Returns a page of a restaurant's orders, open ones first. For the restaurant's staff and admins.
    pub async fn restaurant_orders(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        statuses: Vec<OrderStatus>,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, Error> {
        principal.require(Scope::ReadOrders)?;
        self.accounts.check_staff(principal, restaurant_id).await?;
        match self.catalogue_cache.get(restaurant_id).await {
            // The restaurant exists, even if only a newer server understands its catalogue.
            Ok(_) | Err(Error::WrittenByNewer) => {}
            Err(error) => return Err(error),
        }
        let scope = OrderScope::Restaurant(restaurant_id);
        Ok(self.store.list_orders(&OrderQuery { scope, statuses, after, limit }).await?)
    }

    async fn visible_order(&self, principal: &Principal, id: OrderId) -> Result<(Order, Actor), Error> {
        principal.require(Scope::ReadOrders)?;
        self.order_of_party(principal, id).await
    }

    pub(super) async fn order_of_party(
        &self,
        principal: &Principal,
        id: OrderId,
    ) -> Result<(Order, Actor), Error> {
        let order = self.store.order(id).await?.ok_or(Error::NotFound("order"))?;
        let actor = self.accounts.actor(principal, order.details.restaurant_id).await?;
        match actor {
            Some(actor) if order.is_visible_to(&actor) => Ok((order, actor)),
            _ => Err(Error::NotFound("order")),
        }
    }
}
