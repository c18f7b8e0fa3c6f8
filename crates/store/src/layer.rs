//! The base of every store that wraps another one: for simulations and tests, which decide what fails, waits and is counted.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, ApiKeyId, Bucket, ExternalId, OrderId, RestaurantId, Role, SessionId, TaskId, Timestamp,
    WebhookEndpointId,
    menu::{Availability, Menu},
    order::{Order, OrderStatus, RecordedEvent, Version},
    restaurant::{Restaurant, Revision},
    statistics::Minute,
    task::TaskQueue,
    text::Slug,
};
use futures::stream::BoxStream;

use crate::{
    Account, AccountCreation, AccountEdit, AccountEditOutcome, AccountHolder, AccountStore, ApiKey,
    ApiKeyCreation, ApiKeyStore, Attendance, AuditStore, Board, BoardCheck, BoardStore, Catalogue,
    CatalogueGuard, CatalogueStore, CatalogueUpdate, CheckedBoards, Checkpoint, ClaimAt, ClaimOutcome,
    ClaimRecord, ClaimedTask, CodeMatches, CodeQuery, Commit, CommitOutcome, ConnectedBoard, ConsumerName,
    ConsumerStore, Credential, CredentialId, CredentialRevocation, DueFailures, EndedBoard, FailingEndpoint,
    FeedEnd, FeedLease, FeedPage, FeedPosition, FeedSource, FeedStore, Health, Hint, IdempotencyKey,
    LeaseRequest, LeaseTaken, Listing, LoginLink, LoginLinkCreation, Measurement, MembershipChange,
    MenuRevisions, NewApiKey, NewLoginLink, NewSession, NewTask, OrderPage, OrderQuery, OrderStore, PageSize,
    PartStatus, PoolStatus, Resource, RestaurantCreation, RestaurantPage, Revival, Revived, Revocation,
    RevocationRevision, RollUp, RolledUp, ScopedKey, SecretHash, Session, SessionCreation, SessionStore,
    SessionUse, ShardInfo, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow,
    StatisticsStore, StockEdit, StockLevel, StockUpdate, Store, StoreError, StoredClaim, StoredPosition,
    StoredStock, StoredTask, Subject, TaskFailure, TaskLease, TaskPage, TaskResolution, TaskRetry, TaskStore,
    TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore, UnderKey, WebhookAttempt,
    WebhookChange, WebhookCreation, WebhookEndpoint, WebhookFailure, WebhookFailurePage, WebhookHealth,
    WebhookOwner, WebhookRevision, WebhookStore, WebhookUpdate, WebhookUpdated,
};

/// A call of a store's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreCall {
    /// Kind of the method.
    pub kind: CallKind,
    /// Name of the method, such as `commit_shared`.
    pub method: &'static str,
}

/// Kind of a store's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// [`OrderStore::commit_shared`].
    Commit,
    /// A read of orders, events or idempotency keys.
    Read,
    /// [`TaskStore::claim_due_tasks`].
    ClaimTasks,
    /// A change of a task by the worker that holds its lease.
    ReturnTask,
    /// [`Store::ping`] and [`Store::time`].
    Health,
    /// Every other method.
    Other,
}

/// Lists the required methods of the traits for orders, the feed, tasks, tracking links, boards, catalogues, accounts,
/// consumers, statistics, webhooks and audits, with their kinds, and derives from the list the defaults of
/// [`StoreLayer`] and these traits for every layer. The methods of [`Store`] itself follow below. A provided method
/// needs an entry only if a store overrides it; the compiler does not notice a missing one.
macro_rules! layer {
    ($($store:ident {$(
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;
    )*})*) => {
        /// A store that wraps another one and overrides some of its methods.
        ///
        /// Each method delegates to [`StoreLayer::inner`] by default, so that a layer consists of what it changes: the
        /// arguments or the result of a method (override the method), or every call (override [`StoreLayer::before`] and
        /// [`StoreLayer::after`] to count, block, delay and fail calls). Each layer is a [`Store`]. An override that calls
        /// `self.inner()` skips `before` and `after`; [`StoreLayer::around`] includes them.
        ///
        /// Import either this trait or the store's traits into a module, not both: their methods have the same names.
        #[async_trait]
        pub trait StoreLayer: Send + Sync + Sized {
            /// Returns the store to which the layer delegates.
            fn inner(&self) -> &dyn Store;

            /// Runs before each delegated call, including calls of the kind [`CallKind::Health`]. An error is returned to the
            /// caller, and the call is not made.
            async fn before(&self, _call: StoreCall) -> Result<(), StoreError> {
                Ok(())
            }

            /// Runs after each delegated call that succeeded. An error is returned to the caller in place of the result, as
            /// if the response had been lost.
            async fn after(&self, _call: StoreCall) -> Result<(), StoreError> {
                Ok(())
            }

            /// Makes a call of the inner store between [`StoreLayer::before`] and [`StoreLayer::after`]. Every method that is
            /// not overridden makes its call in this way. Override it to decide how calls run.
            async fn around<T, F>(&self, call: StoreCall, made: F) -> Result<T, StoreError>
            where
                T: Send,
                F: Future<Output = Result<T, StoreError>> + Send,
            {
                self.before(call).await?;
                let answer = made.await?;
                self.after(call).await?;
                Ok(answer)
            }

            $($(
                #[doc = concat!("See [`", stringify!($store), "::", stringify!($name), "`].")]
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    let call = StoreCall { kind: CallKind::$kind, method: stringify!($name) };
                    self.around(call, self.inner().$name($($argument),*)).await
                }
            )*)*

            /// See [`Store::ping`].
            async fn ping(&self) -> Result<Health, StoreError> {
                let call = StoreCall { kind: CallKind::Health, method: "ping" };
                self.around(call, self.inner().ping()).await
            }

            /// See [`Store::time`].
            async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
                let call = StoreCall { kind: CallKind::Health, method: "time" };
                self.around(call, self.inner().time()).await
            }

            /// See [`Store::measure`].
            async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
                let call = StoreCall { kind: CallKind::Other, method: "measure" };
                self.around(call, self.inner().measure(shard, now)).await
            }

            /// See [`Store::close`].
            async fn close(&self) {
                self.inner().close().await;
            }

            /// See [`Store::hints`].
            fn hints(&self) -> BoxStream<'static, Hint> {
                self.inner().hints()
            }

            /// See [`Store::announce_tasks`].
            async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue) {
                self.inner().announce_tasks(bucket, queue).await;
            }

            /// See [`Store::announce_events`].
            async fn announce_events(&self, shard: usize) {
                self.inner().announce_events(shard).await;
            }

            /// See [`Store::warm_up`].
            async fn warm_up(&self, batches: usize) {
                self.inner().warm_up(batches).await;
            }

            /// See [`Store::parts`].
            fn parts(&self) -> Vec<PartStatus> {
                self.inner().parts()
            }

            /// See [`Store::pools`].
            fn pools(&self) -> Vec<PoolStatus> {
                self.inner().pools()
            }

            /// See [`Store::shards`].
            fn shards(&self) -> Vec<ShardInfo> {
                self.inner().shards()
            }

            /// See [`Store::feed_sources`].
            fn feed_sources(&self) -> Vec<FeedSource> {
                self.inner().feed_sources()
            }

            /// See [`Store::directory`].
            fn directory(&self) -> usize {
                self.inner().directory()
            }

            /// See [`Store::shard_count`].
            fn shard_count(&self) -> usize {
                self.inner().shard_count()
            }

            /// See [`Store::shard_of`].
            fn shard_of(&self, bucket: Bucket) -> usize {
                self.inner().shard_of(bucket)
            }
        }

        $(
            #[async_trait]
            impl<L: StoreLayer> $store for L {$(
                async fn $name(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    StoreLayer::$name(self, $($argument),*).await
                }
            )*}
        )*
    };
}

layer! {
    OrderStore {
        Commit commit_shared(batch: Vec<Arc<Commit>>) -> Vec<CommitOutcome>;
        Read order(id: OrderId) -> Option<Order>;
        Read orders(ids: &[OrderId]) -> Vec<Order>;
        Read open_orders(restaurant_id: RestaurantId, statuses: &[OrderStatus], before: Option<OrderId>, limit: u32) -> Vec<Order>;
        Read events(id: OrderId, after: Version, limit: u32) -> Vec<RecordedEvent>;
        Read list_orders(query: &OrderQuery) -> OrderPage;
        Read orders_with_code(query: &CodeQuery) -> CodeMatches;
        Read find_claim(account_id: AccountId, restaurant_id: RestaurantId, key: &IdempotencyKey) -> Option<ClaimRecord>;
        Other delete_expired_keys(claimed_before: Timestamp, limit: u32) -> u32;
    }
    FeedStore {
        Read feed(shard: usize, after: FeedPosition, limit: u32) -> FeedPage;
        Read feed_end(shard: usize) -> FeedEnd;
        Read public_events(order: OrderId, after: Version, limit: u32) -> Vec<RecordedEvent>;
    }
    TaskStore {
        Other enqueue_task(task: &NewTask) -> bool;
        ReturnTask complete_task(lease: TaskLease) -> bool;
        ClaimTasks claim_due_tasks(queue: TaskQueue, now: Timestamp, lease_until: Timestamp, limit: u32) -> Vec<ClaimedTask>;
        ReturnTask postpone_task(lease: TaskLease, run_at: Timestamp, failure: Option<&TaskFailure>) -> bool;
        ReturnTask park_task(lease: TaskLease, failure: &TaskFailure) -> bool;
        Other parked_tasks(after: Option<TaskId>, limit: PageSize) -> TaskPage;
        Other retry_task(id: TaskId, run_at: Timestamp) -> TaskRetry;
        Other resolve_task(id: TaskId, resolution: &TaskResolution) -> bool;
    }
    TrackingStore {
        Other create_tracking_link(link: &TrackingLink, max: u32) -> TrackingLinkCreation;
        Read tracked_order(bucket: Bucket, hash: &TrackingLinkHash) -> Option<OrderId>;
        Other check_tracking_links(
            due_until: Timestamp, unchanged_since: Timestamp, next_check_at: Timestamp, limit: u32
        ) -> u32;
    }
    BoardStore {
        Other record_boards(boards: &[ConnectedBoard], now: Timestamp) -> Vec<RestaurantId>;
        Other disconnect_boards(ended: &[EndedBoard]) -> ();
        Read boards(restaurant_id: RestaurantId, now: Timestamp) -> Vec<Board>;
        Read attendance(ids: &[RestaurantId], now: Timestamp) -> Vec<Attendance>;
        Other check_boards(check: &BoardCheck) -> CheckedBoards;
        Other postpone_board_checks(restaurant_id: RestaurantId, until: Timestamp) -> ();
        Other pause_unattended(
            restaurant: &Restaurant, expected: Revision, since: Timestamp
        ) -> Option<CatalogueUpdate>;
    }
    CatalogueStore {
        Other create_restaurant(restaurant: &Restaurant, menu: &Menu) -> RestaurantCreation;
        Other restaurant_by_external_id(external_id: &ExternalId) -> Option<RestaurantId>;
        Other catalogue_since(id: RestaurantId, known: Option<&Catalogue>) -> Option<Catalogue>;
        Other revisions(ids: &[RestaurantId]) -> Vec<(RestaurantId, CatalogueGuard)>;
        Other restaurants(after: Option<RestaurantId>, is_closed: Option<bool>, limit: PageSize) -> RestaurantPage;
        Other update_restaurant_under(
            restaurant: &Restaurant, expected: Revision, claim: Option<ClaimAt<'_>>
        ) -> UnderKey<CatalogueUpdate>;
        Other replace_menu(id: RestaurantId, menu: &Menu, expected: MenuRevisions) -> CatalogueUpdate;
        Other set_availability(
            id: RestaurantId, item: &Slug, availability: Availability, expected: Option<&[Revision]>
        ) -> CatalogueUpdate;
        Other stock(id: RestaurantId) -> Vec<StockLevel>;
        Other change_stock(id: RestaurantId, item: &Slug, edit: &StockEdit<'_>) -> StockUpdate;
    }
    AccountStore {
        Other create_account_under(
            account: &Account, by: Option<Credential>, claim: Option<ClaimAt<'_>>
        ) -> UnderKey<AccountCreation>;
        Other claim_for_account(claim: ClaimAt<'_>, resource: &Resource, version: Version) -> ClaimOutcome;
        Read find_account_claim(account_id: AccountId, key: &IdempotencyKey) -> Option<ClaimRecord>;
        Other account(id: AccountId) -> Option<Account>;
        Other account_by_email(email: &str) -> Option<Account>;
        Other accounts(
            holder: Option<AccountHolder>, role: Option<Role>, after: Option<AccountId>, limit: PageSize
        ) -> Vec<Account>;
        Other edit_account_under(edit: &AccountEdit, claim: Option<ClaimAt<'_>>) -> UnderKey<AccountEditOutcome>;
        Other revoke(subject: Subject, by: Option<Credential>, at: Timestamp) -> Option<RevocationRevision>;
        Other revoke_credential(
            account_id: AccountId, id: CredentialId, by: Option<Credential>, at: Timestamp
        ) -> CredentialRevocation;
        Other revocations(after: RevocationRevision, limit: u32) -> Vec<Revocation>;
        Other revocation(subject: Subject) -> RevocationRevision;
        Other set_membership(
            restaurant_id: RestaurantId, account_id: AccountId, is_member: bool, by: Option<Credential>
        ) -> MembershipChange;
        Other members(restaurant_id: RestaurantId, after: Option<AccountId>, limit: PageSize) -> Vec<Account>;
        Other memberships(account_id: AccountId) -> Vec<RestaurantId>;
    }
    ApiKeyStore {
        Other create_api_key_under(
            new: &NewApiKey, by: Option<Credential>, claim: Option<ClaimAt<'_>>
        ) -> UnderKey<ApiKeyCreation>;
        Other api_key(id: ApiKeyId) -> Option<ApiKey>;
        Other api_key_by_hash(hash: &SecretHash) -> Option<(ApiKey, Account)>;
        Other api_keys(account_id: AccountId, after: Option<ApiKeyId>, limit: PageSize) -> Vec<ApiKey>;
        Other record_key_uses(uses: &[(ApiKeyId, Timestamp)]) -> ();
    }
    SessionStore {
        Other create_session(new: &NewSession) -> SessionCreation;
        Other session(id: SessionId) -> Option<Session>;
        Other session_by_hash(hash: &SecretHash) -> Option<(Session, Account)>;
        Other sessions(account_id: AccountId, after: Option<SessionId>, limit: PageSize) -> Vec<Session>;
        Other record_session_uses(uses: &[SessionUse]) -> ();
        Other delete_expired_sessions(expired_before: Timestamp, limit: u32) -> u32;
        Other create_login_link(new: &NewLoginLink, by: Option<Credential>) -> LoginLinkCreation;
        Other login_link(hash: &SecretHash) -> Option<(LoginLink, Account)>;
        Other delete_expired_login_links(expired_before: Timestamp, limit: u32) -> u32;
    }
    ConsumerStore {
        Other take_feed_lease(shard: usize, request: &LeaseRequest, now: Timestamp, until: Timestamp) -> LeaseTaken;
        Other renew_feed_lease(shard: usize, lease: &FeedLease, now: Timestamp, until: Timestamp) -> bool;
        Other release_feed_lease(shard: usize, lease: &FeedLease, now: Timestamp) -> bool;
        Other feed_position(
            shard: usize, group: &ConsumerName, consumer: Option<&ConsumerName>
        ) -> Option<StoredPosition>;
        Other own_feed_positions(
            shard: usize, group: &ConsumerName, after: Option<&ConsumerName>, limit: u32
        ) -> Vec<(ConsumerName, StoredPosition)>;
        Other checkpoint_feed(
            shard: usize, lease: &FeedLease, checkpoint: &Checkpoint, now: Timestamp, until: Timestamp
        ) -> bool;
    }
    StatisticsStore {
        Other statistics_progress(shard: usize) -> Option<StatisticsProgress>;
        Other roll_up_statistics(
            shard: usize, lease: &FeedLease, roll_up: &RollUp, now: Timestamp, until: Timestamp
        ) -> RolledUp;
        Other set_statistics(shard: usize, rows: &[StatisticsRow]) -> ();
        Other statistics(
            shard: usize, range: &StatisticsRange, after: Option<&StatisticsKey>, limit: u32
        ) -> Vec<StatisticsRow>;
        Other delete_old_statistics(before: Minute, limit: u32) -> u32;
    }
    WebhookStore {
        Other create_webhook_endpoint_under(
            endpoint: &WebhookEndpoint, max: u32, by: Option<Credential>, claim: Option<ClaimAt<'_>>
        ) -> UnderKey<WebhookCreation>;
        Other webhook_endpoint(id: WebhookEndpointId) -> Option<WebhookEndpoint>;
        Other webhook_endpoints(
            owner: Option<WebhookOwner>, after: Option<WebhookEndpointId>, limit: PageSize
        ) -> Vec<WebhookEndpoint>;
        Other update_webhook_endpoint_under(
            update: &WebhookUpdate, claim: Option<ClaimAt<'_>>
        ) -> UnderKey<WebhookUpdated>;
        Other webhook_changes(after: WebhookRevision, limit: u32) -> Vec<WebhookChange>;
        Other purge_webhook_endpoints(known: WebhookRevision, deleted_until: Timestamp, limit: u32) -> u32;
        Other report_webhook_health(reports: &[(WebhookEndpointId, WebhookHealth)]) -> ();
        Other webhook_failures_of(shard: usize, keys: &[(WebhookEndpointId, OrderId)]) -> Vec<WebhookFailure>;
        Other due_webhook_failures(
            shard: usize, lease: &FeedLease, due: &DueFailures, now: Timestamp
        ) -> Option<Vec<WebhookFailure>>;
        Other failing_webhook_endpoints(
            shard: usize, after: Option<WebhookEndpointId>, limit: u32
        ) -> Vec<FailingEndpoint>;
        Other revive_webhook_failures(
            shard: usize, lease: &FeedLease, revival: &Revival, now: Timestamp
        ) -> Option<Revived>;
        Other forget_webhook_endpoint(
            shard: usize, lease: &FeedLease, endpoint: WebhookEndpointId, limit: u32, now: Timestamp
        ) -> Option<u32>;
        Other webhook_failures(
            endpoint: WebhookEndpointId, only_dead: bool, after: Option<OrderId>, limit: PageSize
        ) -> WebhookFailurePage;
        Other webhook_attempts(shard: usize, endpoint: WebhookEndpointId) -> Vec<WebhookAttempt>;
    }
    AuditStore {
        Other damage() -> Vec<String>;
        Other all_tasks(after: Option<TaskId>, limit: PageSize) -> Listing<StoredTask>;
        Other all_claims(after: Option<&ScopedKey>, limit: PageSize) -> Listing<StoredClaim>;
        Other all_stock(after: Option<(RestaurantId, &Slug)>, limit: PageSize) -> Listing<StoredStock>;
    }
}

#[async_trait]
impl<L: StoreLayer> Store for L {
    async fn ping(&self) -> Result<Health, StoreError> {
        StoreLayer::ping(self).await
    }
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        StoreLayer::time(self).await
    }
    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        StoreLayer::measure(self, shard, now).await
    }
    async fn close(&self) {
        StoreLayer::close(self).await;
    }
    fn hints(&self) -> BoxStream<'static, Hint> {
        StoreLayer::hints(self)
    }
    async fn announce_tasks(&self, bucket: Bucket, queue: TaskQueue) {
        StoreLayer::announce_tasks(self, bucket, queue).await;
    }
    async fn announce_events(&self, shard: usize) {
        StoreLayer::announce_events(self, shard).await;
    }
    async fn warm_up(&self, batches: usize) {
        StoreLayer::warm_up(self, batches).await;
    }
    fn parts(&self) -> Vec<PartStatus> {
        StoreLayer::parts(self)
    }
    fn pools(&self) -> Vec<PoolStatus> {
        StoreLayer::pools(self)
    }
    fn shards(&self) -> Vec<ShardInfo> {
        StoreLayer::shards(self)
    }
    fn feed_sources(&self) -> Vec<FeedSource> {
        StoreLayer::feed_sources(self)
    }
    fn directory(&self) -> usize {
        StoreLayer::directory(self)
    }
    fn shard_count(&self) -> usize {
        StoreLayer::shard_count(self)
    }
    fn shard_of(&self, bucket: Bucket) -> usize {
        StoreLayer::shard_of(self, bucket)
    }
}
