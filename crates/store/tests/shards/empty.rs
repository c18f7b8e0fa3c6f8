//! A store that holds nothing and accepts every call.

mod consumers;
mod sessions;
mod statistics;

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, ApiKeyId, Bucket, ExternalId, OrderId, RestaurantId, Role, TaskId, Timestamp,
    menu::{Availability, Menu},
    order::{Order, OrderStatus, RecordedEvent, Version},
    restaurant::{Restaurant, Revision},
    task::TaskQueue,
    text::Slug,
};
use dabba_store::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore, ApiKey,
    ApiKeyCreation, ApiKeyStore, Attendance, AuditStore, Board, BoardCheck, BoardStore, BucketRange,
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, CheckedBoards, ClaimAt, ClaimOutcome,
    ClaimRecord, ClaimedTask, CodeMatches, CodeQuery, Commit, CommitOutcome, ConnectedBoard, Credential,
    CredentialId, CredentialRevocation, DatabaseKind, EndedBoard, FeedEnd, FeedPage, FeedPosition,
    FeedSource, FeedStore, Health, Hint, IdempotencyKey, Incarnation, Listing, Measurement, MembershipChange,
    MenuRevisions, NewApiKey, NewTask, OrderPage, OrderQuery, OrderStore, PageSize, PartStatus, PoolStatus,
    Resource, RestaurantCreation, RestaurantPage, Revocation, RevocationRevision, SOLE_SHARD, ScopedKey,
    SecretHash, ShardInfo, StockEdit, StockLevel, StockUpdate, Store, StoreError, StoredClaim, StoredStock,
    StoredTask, Subject, TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore,
    TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore, UnderKey,
};
use futures::stream::{BoxStream, StreamExt as _};

/// See the module.
pub(crate) struct EmptyStore;

#[async_trait]
impl OrderStore for EmptyStore {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        Ok(vec![CommitOutcome::KeyReused; batch.len()])
    }
    async fn order(&self, _: OrderId) -> Result<Option<Order>, StoreError> {
        Ok(None)
    }
    async fn orders(&self, _: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        Ok(Vec::new())
    }

    async fn open_orders(
        &self,
        _: RestaurantId,
        _: &[OrderStatus],
        _: Option<OrderId>,
        _: u32,
    ) -> Result<Vec<Order>, StoreError> {
        Ok(Vec::new())
    }

    async fn events(&self, _: OrderId, _: Version, _: u32) -> Result<Vec<RecordedEvent>, StoreError> {
        Ok(Vec::new())
    }
    async fn orders_with_code(&self, _: &CodeQuery) -> Result<CodeMatches, StoreError> {
        Ok(CodeMatches::default())
    }
    async fn list_orders(&self, _: &OrderQuery) -> Result<OrderPage, StoreError> {
        Ok(OrderPage::default())
    }
    async fn find_claim(
        &self,
        _: AccountId,
        _: RestaurantId,
        _: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        Ok(None)
    }
    async fn delete_expired_keys(&self, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl TrackingStore for EmptyStore {
    async fn create_tracking_link(
        &self,
        _: &TrackingLink,
        _: u32,
    ) -> Result<TrackingLinkCreation, StoreError> {
        Ok(TrackingLinkCreation::NotFound)
    }
    async fn tracked_order(&self, _: Bucket, _: &TrackingLinkHash) -> Result<Option<OrderId>, StoreError> {
        Ok(None)
    }
    async fn check_tracking_links(
        &self,
        _: Timestamp,
        _: Timestamp,
        _: Timestamp,
        _: u32,
    ) -> Result<u32, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl BoardStore for EmptyStore {
    async fn record_boards(
        &self,
        _: &[ConnectedBoard],
        _: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError> {
        Ok(Vec::new())
    }
    async fn disconnect_boards(&self, _: &[EndedBoard]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn boards(&self, _: RestaurantId, _: Timestamp) -> Result<Vec<Board>, StoreError> {
        Ok(Vec::new())
    }
    async fn attendance(&self, _: &[RestaurantId], _: Timestamp) -> Result<Vec<Attendance>, StoreError> {
        Ok(Vec::new())
    }
    async fn check_boards(&self, _: &BoardCheck) -> Result<CheckedBoards, StoreError> {
        Ok(CheckedBoards::default())
    }
    async fn postpone_board_checks(&self, _: RestaurantId, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
    async fn pause_unattended(
        &self,
        _: &Restaurant,
        _: Revision,
        _: Timestamp,
    ) -> Result<Option<CatalogueUpdate>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl FeedStore for EmptyStore {
    async fn feed(&self, _: usize, _: FeedPosition, _: u32) -> Result<FeedPage, StoreError> {
        Ok(FeedPage { incarnation: Incarnation::new(0), events: Vec::new(), is_at_end: true })
    }
    async fn feed_end(&self, _: usize) -> Result<FeedEnd, StoreError> {
        Ok(FeedEnd { incarnation: Incarnation::new(0), position: FeedPosition::START })
    }
    async fn public_events(&self, _: OrderId, _: Version, _: u32) -> Result<Vec<RecordedEvent>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl TaskStore for EmptyStore {
    async fn claim_due_tasks(
        &self,
        _: TaskQueue,
        _: Timestamp,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<ClaimedTask>, StoreError> {
        Ok(Vec::new())
    }
    async fn enqueue_task(&self, _: &NewTask) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn complete_task(&self, _: TaskLease) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn postpone_task(
        &self,
        _: TaskLease,
        _: Timestamp,
        _: Option<&TaskFailure>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn park_task(&self, _: TaskLease, _: &TaskFailure) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn parked_tasks(&self, _: Option<TaskId>, _: PageSize) -> Result<TaskPage, StoreError> {
        Ok(TaskPage::default())
    }
    async fn retry_task(&self, _: TaskId, _: Timestamp) -> Result<TaskRetry, StoreError> {
        Ok(TaskRetry::Queued)
    }
    async fn resolve_task(&self, _: TaskId, _: &TaskResolution) -> Result<bool, StoreError> {
        Ok(true)
    }
}

#[async_trait]
impl CatalogueStore for EmptyStore {
    async fn create_restaurant(&self, _: &Restaurant, _: &Menu) -> Result<RestaurantCreation, StoreError> {
        Ok(RestaurantCreation::Created)
    }
    async fn catalogue_since(
        &self,
        _: RestaurantId,
        _: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        Ok(None)
    }
    async fn revisions(&self, _: &[RestaurantId]) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        Ok(Vec::new())
    }
    async fn restaurant_by_external_id(&self, _: &ExternalId) -> Result<Option<RestaurantId>, StoreError> {
        Ok(None)
    }
    async fn restaurants(
        &self,
        _: Option<RestaurantId>,
        _: Option<bool>,
        _: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        Ok(RestaurantPage::default())
    }
    async fn update_restaurant_under(
        &self,
        _: &Restaurant,
        _: Revision,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        Ok(UnderKey::Ended(CatalogueUpdate::NotFound))
    }
    async fn replace_menu(
        &self,
        _: RestaurantId,
        _: &Menu,
        _: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        Ok(CatalogueUpdate::NotFound)
    }
    async fn set_availability(
        &self,
        _: RestaurantId,
        _: &Slug,
        _: Availability,
        _: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        Ok(CatalogueUpdate::NotFound)
    }
    async fn stock(&self, _: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        Ok(Vec::new())
    }
    async fn change_stock(
        &self,
        _: RestaurantId,
        _: &Slug,
        _: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        Ok(StockUpdate::NotFound)
    }
}

#[async_trait]
impl ApiKeyStore for EmptyStore {
    async fn create_api_key_under(
        &self,
        _: &NewApiKey,
        _: Option<Credential>,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<ApiKeyCreation>, StoreError> {
        Ok(UnderKey::Ended(ApiKeyCreation::NotFound))
    }
    async fn api_key(&self, _: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(None)
    }
    async fn api_key_by_hash(&self, _: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError> {
        Ok(None)
    }
    async fn api_keys(
        &self,
        _: AccountId,
        _: Option<ApiKeyId>,
        _: PageSize,
    ) -> Result<Vec<ApiKey>, StoreError> {
        Ok(Vec::new())
    }
    async fn record_key_uses(&self, _: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl AccountStore for EmptyStore {
    async fn create_account_under(
        &self,
        _: &Account,
        _: Option<Credential>,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        Ok(UnderKey::Ended(AccountCreation::Created))
    }
    async fn claim_for_account(
        &self,
        _: ClaimAt<'_>,
        _: &Resource,
        _: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        Ok(ClaimOutcome::Claimed)
    }
    async fn find_account_claim(
        &self,
        _: AccountId,
        _: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        Ok(None)
    }
    async fn account(&self, _: AccountId) -> Result<Option<Account>, StoreError> {
        Ok(None)
    }
    async fn account_by_email(&self, _: &str) -> Result<Option<Account>, StoreError> {
        Ok(None)
    }
    async fn accounts(
        &self,
        _: Option<AccountHolder>,
        _: Option<Role>,
        _: Option<AccountId>,
        _: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        Ok(Vec::new())
    }
    async fn edit_account_under(
        &self,
        _: &AccountEdit,
        _: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError> {
        Ok(UnderKey::Ended(AccountEditOutcome::NotFound))
    }
    async fn revoke(
        &self,
        _: Subject,
        _: Option<Credential>,
        _: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError> {
        Ok(Some(1))
    }
    async fn revoke_credential(
        &self,
        _: AccountId,
        _: CredentialId,
        _: Option<Credential>,
        _: Timestamp,
    ) -> Result<CredentialRevocation, StoreError> {
        Ok(CredentialRevocation::NotFound)
    }
    async fn revocations(&self, _: RevocationRevision, _: u32) -> Result<Vec<Revocation>, StoreError> {
        Ok(Vec::new())
    }
    async fn revocation(&self, _: Subject) -> Result<RevocationRevision, StoreError> {
        Ok(0)
    }
    async fn set_membership(
        &self,
        _: RestaurantId,
        _: AccountId,
        _: bool,
        _: Option<Credential>,
    ) -> Result<MembershipChange, StoreError> {
        Ok(MembershipChange::Unchanged)
    }
    async fn members(
        &self,
        _: RestaurantId,
        _: Option<AccountId>,
        _: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        Ok(Vec::new())
    }
    async fn memberships(&self, _: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl AuditStore for EmptyStore {
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    async fn all_tasks(&self, _: Option<TaskId>, _: PageSize) -> Result<Listing<StoredTask>, StoreError> {
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
    async fn all_claims(
        &self,
        _: Option<&ScopedKey>,
        _: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
    async fn all_stock(
        &self,
        _: Option<(RestaurantId, &Slug)>,
        _: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        Ok(Listing { entries: Vec::new(), incomplete: false })
    }
}

#[async_trait]
impl Store for EmptyStore {
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some(Timestamp::UNIX_EPOCH))
    }
    async fn ping(&self) -> Result<Health, StoreError> {
        Ok(Health::default())
    }
    async fn measure(&self, _: usize, _: Timestamp) -> Result<Measurement, StoreError> {
        Ok(Measurement::default())
    }
    async fn close(&self) {}
    async fn announce_tasks(&self, _: Bucket, _: TaskQueue) {}
    async fn announce_events(&self, _: usize) {}
    async fn warm_up(&self, _: usize) {}
    fn parts(&self) -> Vec<PartStatus> {
        Vec::new()
    }
    fn pools(&self) -> Vec<PoolStatus> {
        Vec::new()
    }
    fn shards(&self) -> Vec<ShardInfo> {
        let (name, database) = (SOLE_SHARD.to_owned(), DatabaseKind::Sqlite);
        vec![ShardInfo { name, database, buckets: BucketRange::WHOLE }]
    }
    fn feed_sources(&self) -> Vec<FeedSource> {
        vec![FeedSource { name: SOLE_SHARD.to_owned(), split_from: None }]
    }
    fn directory(&self) -> usize {
        0
    }
    fn shard_count(&self) -> usize {
        1
    }
    fn shard_of(&self, _: Bucket) -> usize {
        0
    }
    fn hints(&self) -> BoxStream<'static, Hint> {
        futures::stream::pending().boxed()
    }
}
