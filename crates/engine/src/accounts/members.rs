//! Memberships: which accounts work for which restaurant.

use std::{sync::Arc, time::Duration};

use dabba_domain::{AccountId, Actor, Problems, RestaurantId, Role};
use dabba_store::{Account, MembershipChange, PageSize, Store, StoreError};
use moka::sync::Cache;
use tokio::time::Instant;

use super::Accounts;
use crate::{EngineConfig, Error, Principal, Scope, turns::Turns, writing::run_to_completion};

/// Maximum number of accounts whose memberships are cached.
const MAX_CACHED_ACCOUNTS: u64 = 100_000;

impl Accounts {
    /// Makes an account a member of a restaurant's staff. For its staff and admins who are persons: otherwise a leaked API key could
    /// give access that outlives the key.
    pub async fn add_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<Account, Error> {
        principal.require(Scope::WriteAccounts)?;
        self.check_staff(principal, restaurant_id).await?;
        principal.require_person("add members")?;
        self.catalogue_cache.get(restaurant_id).await?;
        let account = self.store.account(account_id).await?.ok_or(Error::NotFound("account"))?;
        if account.role != Role::Restaurant {
            return Err(Error::Invalid(Problems::one("", "the account must have the role restaurant")));
        }
        if account.disabled_at.is_some() {
            return Err(Error::Invalid(Problems::one("", "the account is disabled; enable it first")));
        }
        self.set_membership(principal, restaurant_id, account_id, true).await?;
        Ok(account)
    }

    /// Removes an account from a restaurant's staff. For its staff and admins.
    pub async fn remove_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<(), Error> {
        principal.require(Scope::WriteAccounts)?;
        self.check_staff(principal, restaurant_id).await?;
        let removed = self.set_membership(principal, restaurant_id, account_id, false).await?;
        if removed { Ok(()) } else { Err(Error::NotFound("member")) }
    }

    /// Adds or removes a membership. Returns whether this changed anything.
    async fn set_membership(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
    ) -> Result<bool, Error> {
        let (store, memberships) = (Arc::clone(&self.store), self.memberships.clone());
        let by = Some(principal.credential(self.clock.now()));
        run_to_completion(async move {
            let change = store.set_membership(restaurant_id, account_id, is_member, by).await?;
            memberships.evict(account_id);
            match change {
                MembershipChange::Done => Ok(true),
                MembershipChange::Unchanged => Ok(false),
                MembershipChange::CallerRevoked => Err(Error::TokenRevoked),
            }
        })
        .await
    }

    /// Returns a page of a restaurant's staff with account ids after `after`, ordered by id. For its staff and admins.
    pub async fn members(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        principal.require(Scope::ReadAccounts)?;
        self.check_staff(principal, restaurant_id).await?;
        self.catalogue_cache.get(restaurant_id).await?;
        Ok(self.store.members(restaurant_id, after, limit).await?)
    }

    /// Returns the restaurants for which the caller works.
    pub async fn own_memberships(&self, principal: &Principal) -> Result<Arc<[RestaurantId]>, Error> {
        principal.require(Scope::ReadAccounts)?;
        self.memberships_of(principal.account_id).await
    }

    /// Returns the restaurants for which an account works.
    pub(super) async fn memberships_of(&self, account_id: AccountId) -> Result<Arc<[RestaurantId]>, Error> {
        Ok(self.memberships.get(account_id, &*self.store).await?)
    }

    /// Returns whether a caller works for a restaurant.
    pub(crate) async fn works_for(&self, principal: &Principal, id: RestaurantId) -> Result<bool, Error> {
        Ok(self.memberships_of(principal.account_id).await?.contains(&id))
    }

    /// Allows the restaurant's staff and admins. Other callers get an error that reveals that the restaurant exists,
    /// because that is public.
    pub(crate) async fn check_staff(&self, principal: &Principal, id: RestaurantId) -> Result<(), Error> {
        let passes = match principal.role {
            Role::Admin => true,
            Role::Restaurant => self.works_for(principal, id).await?,
            Role::Customer | Role::Courier => false,
        };
        if passes {
            Ok(())
        } else {
            Err(Error::Forbidden("only the restaurant's staff and admins may do this".into()))
        }
    }

    /// Allows a caller to read events: admins the events of all restaurants or of one, staff the events of a restaurant for
    /// which they work. A restaurant that an admin names must exist: the feed of an unknown id would be silent for
    /// ever.
    pub async fn authorize_feed(
        &self,
        principal: &Principal,
        restaurant_id: Option<RestaurantId>,
    ) -> Result<(), Error> {
        principal.require_events()?;
        match (principal.role, restaurant_id) {
            (Role::Admin, None) => Ok(()),
            (Role::Admin, Some(id)) => match self.catalogue_cache.get(id).await {
                Err(Error::NotFound(what)) => Err(Error::NotFound(what)),
                // While a database does not answer, the feed itself reports the failure or waits.
                Ok(_) | Err(_) => Ok(()),
            },
            (Role::Restaurant, None) => Err(Error::Forbidden(
                "staff read the events of a restaurant for which they work: add the parameter restaurant with its id; only an \
                 admin may read the events of all restaurants"
                    .into(),
            )),
            (Role::Restaurant, Some(id)) if self.works_for(principal, id).await? => Ok(()),
            (Role::Restaurant, Some(_)) => Err(Error::Forbidden(
                "the account is no member of this restaurant's staff; name a restaurant for which the account works".into(),
            )),
            (Role::Customer | Role::Courier, _) => Err(Error::Forbidden(
                "the feed is for admins and for a restaurant's staff; follow a single order with \
                 GET /v1/orders/{order_id}/stream"
                    .into(),
            )),
        }
    }

    /// Returns the role in which a caller acts on a restaurant's orders; `None` for staff of another restaurant.
    pub(crate) async fn actor(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
    ) -> Result<Option<Actor>, Error> {
        let account_id = principal.account_id;
        Ok(match principal.role {
            Role::Customer => Some(Actor::customer(account_id)),
            Role::Courier => Some(Actor::Courier { account_id }),
            Role::Admin => Some(Actor::Admin { account_id }),
            Role::Restaurant => self
                .works_for(principal, restaurant_id)
                .await?
                .then_some(Actor::Restaurant { account_id, restaurant_id }),
        })
    }

    /// Checks that an account exists, belongs to a courier and is enabled.
    pub(crate) async fn check_courier(&self, courier_id: AccountId) -> Result<(), Error> {
        match self.store.account(courier_id).await? {
            Some(account) if account.role == Role::Courier && account.disabled_at.is_none() => Ok(()),
            _ => Err(Error::Invalid(Problems::one(
                "/courier_id",
                "must be the id of an enabled account with the role courier",
            ))),
        }
    }
}

/// Cache of memberships. An entry is used for a short time, and for longer while the store cannot be read. Clones share
/// the entries.
#[derive(Clone)]
pub(crate) struct MembershipCache {
    /// Of the kind that never waits: with the other kind, housekeeping wakes the calling task, at real times.
    entries: Cache<AccountId, Memberships>,
    reads: Arc<Turns<AccountId>>,
    max_age: Duration,
    max_stale_age: Duration,
}

#[derive(Clone)]
struct Memberships {
    restaurants: Arc<[RestaurantId]>,
    read_at: Instant,
    /// Time until which the entry is used without reading the store.
    fresh_until: Instant,
}

impl Memberships {
    fn are_fresh(&self) -> bool {
        Instant::now() < self.fresh_until
    }
}

impl MembershipCache {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let (max_age, max_stale_age) =
            (config.membership_max_age, config.membership_max_stale_age.max(config.membership_max_age));
        let entries = Cache::builder()
            .max_capacity(MAX_CACHED_ACCOUNTS)
            .time_to_live(max_stale_age.max(Duration::from_millis(1)))
            .build();
        Self { entries, reads: Arc::default(), max_age, max_stale_age }
    }

    /// Returns the restaurants for which an account works. Reads the store if no fresh entry is cached.
    async fn get(&self, account_id: AccountId, store: &dyn Store) -> Result<Arc<[RestaurantId]>, StoreError> {
        if let Some(cached) = self.entries.get(&account_id).filter(Memberships::are_fresh) {
            return Ok(cached.restaurants);
        }
        Box::pin(self.read_once(account_id, store)).await
    }

    /// Reads memberships from the store, once for all concurrent callers.
    async fn read_once(
        &self,
        account_id: AccountId,
        store: &dyn Store,
    ) -> Result<Arc<[RestaurantId]>, StoreError> {
        let read = async {
            let cached = self.entries.get(&account_id);
            if let Some(fresh) = cached.as_ref().filter(|cached| cached.are_fresh()) {
                return Ok(Arc::clone(&fresh.restaurants)); // Another call has read them in the meantime.
            }
            let memberships = self.read(account_id, cached, store).await?;
            let restaurants = Arc::clone(&memberships.restaurants);
            self.entries.insert(account_id, memberships);
            Ok(restaurants)
        };
        self.reads.run(account_id, read).await
    }

    async fn read(
        &self,
        account_id: AccountId,
        cached: Option<Memberships>,
        store: &dyn Store,
    ) -> Result<Memberships, StoreError> {
        let read = store.memberships(account_id).await;
        let now = Instant::now();
        let fresh_until = now + self.max_age;
        match (read, cached) {
            (Ok(restaurants), _) => {
                Ok(Memberships { restaurants: restaurants.into(), read_at: now, fresh_until })
            }
            (Err(error), Some(stale)) if now.duration_since(stale.read_at) < self.max_stale_age => {
                tracing::warn!(%error, "memberships cannot be read; the cached ones are used");
                Ok(Memberships { fresh_until, ..stale })
            }
            (Err(error), _) => Err(error),
        }
    }

    pub(super) fn evict(&self, account_id: AccountId) {
        self.entries.invalidate(&account_id);
    }
}
