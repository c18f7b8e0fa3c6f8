//! Who works for which restaurant.

use std::{sync::Arc, time::Duration};

use dabba_domain::{AccountId, Problems, RestaurantId, Role};
use dabba_store::{Account, MembershipChange, PageSize, Store, StoreError};
use moka::{future::Cache, ops::compute::Op};
use tokio::time::Instant;

use crate::{Engine, EngineConfig, Error, Principal, writing::run_to_completion};

/// Most memberships remembered.
const REMEMBERED_MEMBERSHIPS: u64 = 100_000;

impl Engine {
    /// Makes an account a member of a restaurant's staff. For its staff and admins.
    pub async fn add_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<Account, Error> {
        self.check_staff(principal, restaurant_id).await?;
        self.catalogues.get(restaurant_id).await?;
        let account = self.store.account(account_id).await?.ok_or(Error::NotFound("account"))?;
        if account.role != Role::Restaurant {
            return Err(Error::Invalid(Problems::one("", "the account's role is not restaurant")));
        }
        if account.disabled_at.is_some() {
            return Err(Error::Invalid(Problems::one("", "the account is disabled")));
        }
        self.set_membership(principal, restaurant_id, account_id, true).await?;
        Ok(account)
    }

    /// Ends a membership. For the restaurant's staff and admins.
    pub async fn remove_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<(), Error> {
        self.check_staff(principal, restaurant_id).await?;
        let removed = self.set_membership(principal, restaurant_id, account_id, false).await?;
        if removed { Ok(()) } else { Err(Error::NotFound("member")) }
    }

    /// Writes a membership or its end. Returns whether that changed anything.
    async fn set_membership(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
    ) -> Result<bool, Error> {
        let (store, memberships) = (Arc::clone(&self.store), self.memberships.clone());
        let by = Some(principal.credential());
        run_to_completion(async move {
            let change = store.set_membership(restaurant_id, account_id, is_member, by).await?;
            memberships.forget(account_id).await;
            match change {
                MembershipChange::Done => Ok(true),
                MembershipChange::Unchanged => Ok(false),
                MembershipChange::CallerRevoked => Err(Error::TokenRevoked),
            }
        })
        .await
    }

    /// A page of a restaurant's staff behind the given account, by id. For its staff and admins.
    pub async fn members(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        self.check_staff(principal, restaurant_id).await?;
        self.catalogues.get(restaurant_id).await?;
        Ok(self.store.members(restaurant_id, after, limit).await?)
    }

    /// The restaurants for which an account works.
    pub async fn memberships(&self, account_id: AccountId) -> Result<Arc<[RestaurantId]>, Error> {
        Ok(self.memberships.get(account_id, &*self.store).await?)
    }

    pub(crate) async fn works_for(&self, account_id: AccountId, id: RestaurantId) -> Result<bool, Error> {
        Ok(self.memberships(account_id).await?.contains(&id))
    }

    /// That an account exists, is a courier's and is enabled.
    pub(crate) async fn check_courier(&self, courier_id: AccountId) -> Result<(), Error> {
        match self.store.account(courier_id).await? {
            Some(account) if account.role == Role::Courier && account.disabled_at.is_none() => Ok(()),
            _ => Err(Error::Invalid(Problems::one("/courier_id", "is not the enabled account of a courier"))),
        }
    }
}

/// Memberships in memory: for a short time, and for longer while they cannot be looked up. A clone shares them.
#[derive(Clone)]
pub(crate) struct MembershipCache {
    entries: Cache<AccountId, Memberships>,
    max_age: Duration,
    max_stale_age: Duration,
}

#[derive(Clone)]
struct Memberships {
    restaurants: Arc<[RestaurantId]>,
    looked_up_at: Instant,
    /// Until when they are used without looking.
    good_until: Instant,
}

impl Memberships {
    fn are_good(&self) -> bool {
        Instant::now() < self.good_until
    }
}

impl MembershipCache {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let (max_age, max_stale_age) =
            (config.membership_max_age, config.membership_max_stale_age.max(config.membership_max_age));
        let entries = Cache::builder()
            .max_capacity(REMEMBERED_MEMBERSHIPS)
            .time_to_live(max_stale_age.max(Duration::from_millis(1)))
            .build();
        Self { entries, max_age, max_stale_age }
    }

    /// The restaurants for which an account works, looked up when they are not remembered.
    async fn get(&self, account_id: AccountId, store: &dyn Store) -> Result<Arc<[RestaurantId]>, StoreError> {
        if let Some(remembered) = self.entries.get(&account_id).await.filter(Memberships::are_good) {
            return Ok(remembered.restaurants);
        }
        Box::pin(self.look_up_once(account_id, store)).await
    }

    /// Looks memberships up, once for all who ask meanwhile.
    async fn look_up_once(
        &self,
        account_id: AccountId,
        store: &dyn Store,
    ) -> Result<Arc<[RestaurantId]>, StoreError> {
        let entry = self.entries.entry(account_id);
        let looked_up = entry.and_try_compute_with(async |remembered| {
            let remembered = remembered.map(moka::Entry::into_value);
            if remembered.as_ref().is_some_and(Memberships::are_good) {
                return Ok(Op::Nop); // Someone else looked while this call waited for its turn.
            }
            self.look_up(account_id, remembered, store).await.map(Op::Put)
        });
        let entry = looked_up.await?.into_entry();
        Ok(entry.map(|entry| entry.into_value().restaurants).unwrap_or_default())
    }

    async fn look_up(
        &self,
        account_id: AccountId,
        remembered: Option<Memberships>,
        store: &dyn Store,
    ) -> Result<Memberships, StoreError> {
        let looked_up = store.memberships(account_id).await;
        let now = Instant::now();
        let good_until = now + self.max_age;
        match (looked_up, remembered) {
            (Ok(restaurants), _) => {
                Ok(Memberships { restaurants: restaurants.into(), looked_up_at: now, good_until })
            }
            (Err(error), Some(stale)) if now.duration_since(stale.looked_up_at) < self.max_stale_age => {
                tracing::warn!(%error, "memberships cannot be looked up; what is remembered is used");
                Ok(Memberships { good_until, ..stale })
            }
            (Err(error), _) => Err(error),
        }
    }

    pub(super) async fn forget(&self, account_id: AccountId) {
        self.entries.invalidate(&account_id).await;
    }
}
