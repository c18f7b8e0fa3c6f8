//! Use cases of Dabba: quote, place, change, read and list orders; manage restaurants, menus, stock and accounts. The
//! engine uses the rules of the domain and any store that implements the storage contract.
//!
//! A write has four steps: load what the decision needs (the catalogue and recent orders from memory, everything else
//! from the store), let the domain decide, pass the decision to a committer, and answer from the outcome of the commit.
//! When a decision was based on a stale version, the engine decides again, a bounded number of times.
//!
//! Work for later is stored as a task in the transaction of the decision that causes it. [`Work`] executes the task when
//! it is due, in the same way as any other write.
//!
//! An [`Engine`] consists of parts. Each part is a type with the dependencies that its use cases need. Callers use the
//! parts directly: `engine.orders.place(…)`. A function that needs one part takes that part instead of the engine.
//!
//! | part | its type | use cases |
//! |---|---|---|
//! | `engine.orders` | [`Orders`] | quote, place, act, preview, read, list and track orders |
//! | `engine.catalogue` | [`Catalogues`] | restaurants, menus, availability and stock |
//! | `engine.accounts` | [`Accounts`] | registration, login, changes, revocation, memberships |
//! | `engine.boards` | [`Boards`] | connected boards, and the pause of unattended restaurants |
//! | `engine.payments` | [`Payments`] | the payment provider: the steps of payments, its reports, its circuit breaker |
//! | `engine.work` | [`Work`] | workers and parked tasks, maintenance |
//! | `engine.statistics` | [`Statistics`] | roll-ups per minute, and their reading |
//!
//! [`Webhooks`] manages webhook endpoints. It is no part of an engine, because it also needs an [`Egress`] and the keys
//! that seal secrets, which only a process with webhooks has.
//!
//! The methods of [`Engine`] itself concern the whole process: start and shutdown, readiness, metrics, time, randomness.
//!
//! Time, randomness, the payment provider and servers whose URLs users enter are ports ([`Clock`], [`Random`],
//! [`PaymentGateway`], [`Egress`]), which tests replace. [`sealing`] encrypts the secrets that stores keep. The
//! message broker is a port, too ([`EventSink`]); outgoing events use it, and no use case does.

mod accounts;
mod base62;
mod boards;
mod catalogue;
mod claims;
mod clock;
mod commit_signals;
mod committer;
mod condition;
mod config;
mod egress;
mod engine;
mod error;
mod feed_search;
mod measure;
mod metrics;
mod order_writer;
mod orders;
mod payments;
mod post_commit;
mod principal;
mod readiness;
mod sandbox;
pub mod sealing;
mod shards;
mod sink;
mod sparse;
mod statistics;
mod turns;
mod webhooks;
mod work;
mod writing;

pub use dabba_store::panic_text;

pub use accounts::{
    AccountAnswer, AccountFilter, AccountPatch, Accounts, ApiKeyFormatError, ApiKeySecret, EmailError,
    FoundKey, FoundSession, KeyAnswer, KeyRequest, KeyUse, LOGIN_LINK_LIFETIME, LoggedIn, MAX_ACTIVE_KEYS,
    MAX_EMAIL_LENGTH, MAX_KEY_SCOPES, MAX_LOGIN_LINKS, MAX_PASSWORD_LENGTH, MAX_SESSION_RESTAURANTS,
    MAX_SESSIONS, MAX_USER_AGENT_LENGTH, MIN_PASSWORD_LENGTH, NewLink, NewPassword, Registered, Registration,
    SecretToken, ServiceRegistration, SessionRestaurant, check_email, check_key_expiry, session_lifetime,
};
pub use boards::{ATTENDANCE_TIMEOUT, BOARD_RENEWAL, BoardConnection, Boards, NewBoard, RestaurantBoards};
pub use catalogue::{
    CatalogueEntry, CatalogueListener, CatalogueSubscription, Catalogues, Conditional, DEFAULT_REACH_METRES,
    ExpectedMenu, FoundRestaurant, MAX_INDEXED_POSITIONS, MAX_INDEXED_RESTAURANTS, RestaurantAnswer,
    RestaurantSearch, SearchPage, SearchPosition, StockAdjustment, StockAnswer,
};
pub use clock::{
    AdjustableClock, Clock, ClockConfig, ClockSkew, ManualClock, Random, SeededRandom, ServerClock,
    SystemClock, SystemRandom,
};
pub use commit_signals::{CommitListener, CommitSignals};
pub use config::{EngineConfig, PasswordCost, TaskConfig};
pub use dabba_store::{AccountHolder, CredentialId};
pub use egress::{
    Egress, EgressAttempt, EgressFailure, EgressFailureKind, EgressReply, EgressRequest, EgressUrlError,
    MAX_TARGET_URL_LENGTH, RetryAfter, TargetUrl,
};
pub use engine::{Engine, Ports};
pub use error::{Conflict, Error};
pub use metrics::{
    CallLabel, CallOutcome, EngineMetrics, KeyUseLabel, StateLabel, StatusLabel, StepLabel, TaskLabel,
    TaskOutcome, TaskOutcomeLabel,
};
pub use orders::{
    BoardOrders, CommandRequest, CustomerName, LinkedOrder, MAX_BOARD_BYTES, MAX_BOARD_ORDERS,
    MAX_TRACKING_LINKS, Obstacle, OrderAnswer, Orders, Preview, Quote, SizedOrder, TRACKED_AFTER_END,
    Tracked, TrackedRestaurant, TrackingToken, is_on_board, link_valid_until,
};
pub use payments::{
    AmountNotAccepted, AmountRules, BreakerConfig, BreakerState, GatewayAnswer, GatewayError, Payment,
    PaymentConfig, PaymentGateway, Payments, ProviderNotice, ProviderObject, WebhookError, WebhookReader,
};
pub use principal::{Principal, Scope, Scopes};
pub use readiness::Readiness;
pub use shards::{CheckedShards, SHARD_CHECK_TIMEOUT, ShardAnswer, ShardCheck, ShardFailure};
pub use sink::{EventSink, OutgoingEvent, SinkError, SinkSession};
pub use statistics::{
    DEFAULT_STATISTICS_RANGE, DEFAULT_STATISTICS_STEP_SECONDS, MAX_STATISTICS_POINTS, MAX_STATISTICS_RANGE,
    MAX_STATISTICS_STEP_SECONDS, STATISTICS_RETENTION, Statistics, StatisticsAnswer, StatisticsPoint,
    StatisticsQuery, StatisticsQueryError, StatisticsSeries,
};
pub use webhooks::{
    DEFAULT_OVERLAP_SECONDS, FailureFilter, MAX_CONCURRENT_TESTS, MAX_CONCURRENT_TESTS_PER_ACCOUNT,
    MAX_OVERLAP_SECONDS, MAX_PLATFORM_ENDPOINTS, MAX_RESTAURANT_ENDPOINTS, MAX_WEBHOOK_BATCH,
    MAX_WEBHOOK_CONCURRENCY, MAX_WEBHOOK_SECRET_BYTES, MIN_WEBHOOK_SECRET_BYTES, NotTested, ReplayFrom,
    SINCE_MARGIN, TestPermit, WEBHOOK_SECRET_PREFIX, WEBHOOK_SECRET_PURPOSE, WebhookAnswer, WebhookAttempts,
    WebhookPatch, WebhookRequest, WebhookSecret, WebhookSecretError, Webhooks, replay_start,
    webhook_secret_place,
};
pub use work::Work;
