//! Limited stock, which the restaurant's staff set, adjust and read. Orders take stock in their own commit.

use std::sync::Arc;

use dabba_domain::{
    Problems, RestaurantId, limits::MAX_STOCK, restaurant::Revision, text::Slug, whole_number,
};
use dabba_store::{Claim, ClaimAt, IdempotencyKey, StockEdit, StockLevel, StockOperation, StockUpdate};

use super::Catalogues;
use crate::{Conflict, Error, Principal, Scope, claims::claim, writing::run_to_completion};

/// An item's stock after a change by staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockAnswer {
    /// The stock; `None` if the item's stock is not limited. For a replay: the stock after the original request.
    pub level: Option<StockLevel>,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Catalogues {
    /// Sets an item's remaining stock; `None` removes the limit. With `expected`, the stock must be at that revision.
    /// For the restaurant's staff and admins.
    pub async fn set_stock(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        remaining: Option<u32>,
        expected: Option<Revision>,
    ) -> Result<StockAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        if let Some(remaining) = remaining.filter(|remaining| *remaining > MAX_STOCK) {
            let text = format!("must be {}, not {remaining}", whole_number(0, MAX_STOCK));
            return Err(Error::Invalid(Problems::one("/remaining", text)));
        }
        self.catalogue_cache.refresh(id).await?.menu().item(item.as_str()).ok_or(Error::NotFound("item"))?;
        self.change_stock(id, item, StockOperation::Set(remaining), expected, None).await
    }

    /// Adds to or subtracts from an item's stock, exactly once per idempotency key. The adjustment is relative, so it
    /// keeps concurrent sales. With `expected`, the stock must be at that revision. For the restaurant's staff and
    /// admins.
    pub async fn adjust_stock(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        adjustment: StockAdjustment,
    ) -> Result<StockAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        let StockAdjustment { by, expected, key } = adjustment;
        let allowed = i32::try_from(by).ok().filter(|by| *by != 0 && by.unsigned_abs() <= MAX_STOCK);
        let Some(by) = allowed else {
            let range = whole_number(format_args!("-{MAX_STOCK}"), MAX_STOCK);
            let text = format!("must be {range} other than 0, not {by}");
            return Err(Error::Invalid(Problems::one("/by", text)));
        };
        let claim = claim(principal.account_id, key, &("adjust_stock", item, by))?;
        self.change_stock(id, item, StockOperation::Adjust(by), expected, Some(claim)).await
    }

    /// Returns the stock of a restaurant's limited items. For the restaurant's staff and admins.
    pub async fn stock(&self, principal: &Principal, id: RestaurantId) -> Result<Vec<StockLevel>, Error> {
        principal.require(Scope::ReadCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        self.catalogue_cache.get(id).await?;
        Ok(self.store.stock(id).await?)
    }

    /// Returns an item's stock; `None` if it is not limited. For the restaurant's staff and admins.
    pub async fn stock_of(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
    ) -> Result<Option<StockLevel>, Error> {
        let level = self.stock(principal, id).await?.into_iter().find(|level| level.item == *item);
        if level.is_none() {
            self.check_item(id, item).await?;
        }
        Ok(level)
    }

    /// Writes a stock change. After the write, nothing can make the request fail.
    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        operation: StockOperation,
        expected: Option<Revision>,
        claim: Option<Claim>,
    ) -> Result<StockAnswer, Error> {
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        let (edited, at, has_key) = (item.clone(), self.clock.now(), claim.is_some());
        let changed = run_to_completion(async move {
            let claim = claim.as_ref().map(|claim| ClaimAt { claim, at });
            let changed = store.change_stock(id, &edited, &StockEdit { operation, expected, claim }).await?;
            if let StockUpdate::Done { menu_revision, .. } = changed {
                catalogue_cache
                    .refresh_unless(id, |entry| entry.catalogue.menu_revision >= menu_revision)
                    .await;
                catalogue_cache.signals.changed(id);
            }
            Ok(changed)
        });
        Err(match changed.await? {
            outcome @ (StockUpdate::Replayed(_) | StockUpdate::KeyReused | StockUpdate::NewerClaim)
                if !has_key =>
            {
                // A defect of the store. The change is not written, so it must not be acknowledged.
                Error::Internal(format!("a change of stock without a key was answered with {outcome:?}"))
            }
            StockUpdate::Done { level, .. } => return Ok(StockAnswer { level, replayed: false }),
            StockUpdate::Replayed(level) => {
                self.metrics.replays.inc();
                return Ok(StockAnswer { level: Some(level), replayed: true });
            }
            StockUpdate::KeyReused => Error::KeyReused,
            StockUpdate::NewerClaim => Error::WrittenByNewer,
            StockUpdate::Conflict { current } => Conflict::StockRevision { current }.into(),
            StockUpdate::NotLimited => {
                self.check_item(id, item).await?;
                Conflict::StockNotLimited.into()
            }
            StockUpdate::TooLow { remaining } | StockUpdate::TooHigh { remaining } => {
                Conflict::StockOutOfRange { remaining }.into()
            }
            StockUpdate::NotFound => Error::NotFound("restaurant"),
        })
    }

    async fn check_item(&self, id: RestaurantId, item: &Slug) -> Result<(), Error> {
        let entry = self.catalogue_cache.get(id).await?;
        entry.menu().item(item.as_str()).map(drop).ok_or(Error::NotFound("item"))
    }
}

/// A relative change of an item's stock.
#[derive(Clone, Debug)]
pub struct StockAdjustment {
    /// Number to add; negative to subtract. From -[`MAX_STOCK`] to [`MAX_STOCK`], except 0.
    pub by: i64,
    /// Required revision of the stock, if the caller states one.
    pub expected: Option<Revision>,
    /// Idempotency key of the change.
    pub key: IdempotencyKey,
}
