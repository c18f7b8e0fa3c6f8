//! The settings, from flags, environment variables and a file, each with a default.
//!
//! [`Settings`] is the only list; `docs/reference/settings.md` and `dabba settings` are generated from it. A new setting
//! needs a field here, its use where the server is put together, and a regenerated page (a test names the command).

mod check;
mod documentation;
mod file;
mod loading;
mod names;
mod values;
mod wrong;

use std::path::PathBuf;

use confique::Config;

pub(crate) use self::{
    check::Checked,
    documentation::{default_of, template},
    file::{Names, parse as parse_file},
    loading::{DATABASE_SETTINGS, read_file},
    names::unknown_variables,
    values::{
        Bounded, DatabaseUrl, Hosts, LogFilter, LogFormat, Milliseconds, NOT_REPEATED, Name, Networks,
        Origins, PaymentGatewayName, PoolSeconds, PoolSize, WebUrl, is_database_url,
    },
    wrong::describe as describe_refusal,
};
use crate::listening::ListenAddress;

/// Settings file that is read if it exists and no file is named.
pub(crate) const DEFAULT_FILE: &str = "dabba.toml";

/// Prefix of the environment variables of all settings.
pub(crate) const ENVIRONMENT_PREFIX: &str = "DABBA_";

/// All settings.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[config(layer_attr(command(next_help_heading = "Settings")))]
pub(crate) struct Settings {
    /// Host (name or address) and port to serve on. Port 0 selects any free port.
    #[config(env = "DABBA_LISTEN", default = "127.0.0.1:8080")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) listen: ListenAddress,

    /// Directory of the embedded database and of the signing key. Created if it does not exist.
    #[config(env = "DABBA_DATA", default = "dabba-data")]
    #[config(layer_attr(arg(long, value_name = "DIRECTORY")))]
    pub(crate) data: PathBuf,

    /// URL of the PostgreSQL database that stores all orders, such as `postgresql://user@host/database?sslmode=verify-full`, or
    /// `file:PATH` for a file that contains the URL. Other users of the machine can read the arguments of a process, so put a URL
    /// with a password into such a file or into the environment. By default, and without `shards`, the embedded database is used.
    #[config(env = "DABBA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) database: Option<DatabaseUrl>,

    /// URL of a replica of `database`, for reads that tolerate stale data; default none.
    #[config(env = "DABBA_REPLICA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) replica_database: Option<DatabaseUrl>,

    /// File (TOML) that lists several PostgreSQL databases and the orders that each of them stores; default none.
    #[config(env = "DABBA_SHARDS")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) shards: Option<PathBuf>,

    /// Maximum number of connections per PostgreSQL database. 1 to 1,000; default 16.
    #[config(env = "DABBA_POOL_SIZE", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) pool_size: PoolSize,

    /// Maximum wait for a connection while all are in use, in milliseconds. 1 to 600,000; default 3,000. After it the server
    /// responds with 503.
    #[config(env = "DABBA_POOL_WAIT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) pool_wait_milliseconds: Milliseconds,

    /// Idle time after which a connection is closed, in seconds. 1 to 604,800; default 600.
    #[config(env = "DABBA_POOL_IDLE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_idle_seconds: PoolSeconds,

    /// Maximum age of a connection, in seconds. 1 to 604,800; default 1,800. An older connection is not used any more.
    #[config(env = "DABBA_POOL_LIFETIME_SECONDS", default = 1800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_lifetime_seconds: PoolSeconds,

    /// Timeout for connecting to a PostgreSQL database, in milliseconds. 1 to 600,000; default 3,000.
    #[config(env = "DABBA_CONNECT_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) connect_timeout_milliseconds: Milliseconds,

    /// Timeout for one statement in a PostgreSQL database, in milliseconds. 1 to 600,000; default 5,000.
    #[config(env = "DABBA_STATEMENT_TIMEOUT_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) statement_timeout_milliseconds: Milliseconds,

    /// Name of the connections in PostgreSQL's `pg_stat_activity`.
    #[config(env = "DABBA_APPLICATION_NAME", default = "dabba")]
    #[config(layer_attr(arg(long, value_name = "NAME")))]
    pub(crate) application_name: Name,

    /// Maximum number of attempts of a transaction that conflicts with others. 1 to 1,000; default 16.
    #[config(env = "DABBA_TRANSACTION_ATTEMPTS", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) transaction_attempts: Bounded<1, 1_000>,

    /// Maximum time for resolving the outcome of a transaction whose connection was lost at COMMIT, in milliseconds. 1 to
    /// 600,000; default 3,000. After it the server responds with 503 `outcome_unknown`.
    #[config(env = "DABBA_RESOLVE_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) resolve_timeout_milliseconds: Milliseconds,

    /// Maximum lag of a replica, in milliseconds. 1 to 600,000; default 2,000. A replica with a greater lag is not used.
    #[config(env = "DABBA_REPLICA_LAG_LIMIT_MILLISECONDS", default = 2000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) replica_lag_limit_milliseconds: Milliseconds,

    /// Maximum difference between the clock of this machine and the clock of the PostgreSQL database that keeps the accounts, in
    /// seconds. 1 to 3,600; default 5. Beyond the limit, a server does not start; a running server is not ready and processes no
    /// tasks.
    #[config(env = "DABBA_CLOCK_SKEW_LIMIT_SECONDS", default = 5)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) clock_skew_limit_seconds: Bounded<1, 3_600>,

    /// Whether to migrate the database to the newest schema before serving.
    #[config(env = "DABBA_MIGRATE", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) migrate: bool,

    /// Whether the server processes tasks, such as the expiry of orders that nobody accepts. With `false`, `dabba work` has to
    /// process them.
    #[config(env = "DABBA_WORK", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) work: bool,

    /// Maximum number of tasks per queue (deadlines, payments) that a process runs concurrently. 1 to 10,000; default 256.
    #[config(env = "DABBA_TASK_CONCURRENCY", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) task_concurrency: Bounded<1, 10_000>,

    /// Interval at which workers poll for due tasks, in milliseconds. 1 to 600,000; default 1,000. Urgent tasks wake the workers
    /// at once.
    #[config(env = "DABBA_TASK_POLL_MILLISECONDS", default = 1000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) task_poll_milliseconds: Milliseconds,

    /// Duration of the lease that a worker holds on a task, in seconds. 1 to 600; default 30. After it, other workers take over
    /// the tasks of a process that died. Must be greater than `payment_timeout_seconds`.
    #[config(env = "DABBA_TASK_LEASE_SECONDS", default = 30)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) task_lease_seconds: Bounded<1, 600>,

    /// Payment provider for cards: `stripe`, or `simulated`, which moves no money. By default, cards are not accepted.
    #[config(env = "DABBA_PAYMENT_GATEWAY")]
    #[config(layer_attr(arg(long, value_name = "stripe|simulated")))]
    pub(crate) payment_gateway: Option<PaymentGatewayName>,

    /// URL of the payment provider; default Stripe itself, or a simulation within the server.
    #[config(env = "DABBA_PAYMENT_URL")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) payment_url: Option<WebUrl>,

    /// File with the secret key for the payment provider; default none. Required for `stripe`.
    #[config(env = "DABBA_PAYMENT_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_key_file: Option<PathBuf>,

    /// File with the secret with which the payment provider signs its webhooks to `/v1/webhooks/payments`. By default, webhooks
    /// are refused.
    #[config(env = "DABBA_PAYMENT_WEBHOOK_SECRET_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_webhook_secret_file: Option<PathBuf>,

    /// Maximum time from placing an order until its card payment is certain, in seconds. 10 to 86,400; default 600. After it the
    /// order is cancelled.
    #[config(env = "DABBA_PAYMENT_DEADLINE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_deadline_seconds: Bounded<10, 86_400>,

    /// Timeout for one call to the payment provider, in seconds. 1 to 25; default 15.
    #[config(env = "DABBA_PAYMENT_TIMEOUT_SECONDS", default = 15)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_timeout_seconds: Bounded<1, 25>,

    /// Number of consecutive calls without an answer after which the circuit breaker of the payment provider opens. 1 to 1,000;
    /// default 5.
    #[config(env = "DABBA_PAYMENT_BREAKER_FAILURES", default = 5)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_failures: Bounded<1, 1_000>,

    /// Time for which the open circuit breaker refuses calls to the payment provider, in milliseconds. 1 to 600,000; default
    /// 5,000.
    #[config(env = "DABBA_PAYMENT_BREAKER_OPEN_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) payment_breaker_open_milliseconds: Milliseconds,

    /// Maximum number of concurrent trial calls after that time. 1 to 100; default 2.
    #[config(env = "DABBA_PAYMENT_BREAKER_PROBES", default = 2)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_probes: Bounded<1, 100>,

    /// Host (name or address) and port of a listener for operators; default none. Port 0 selects any free port. `dabba serve`
    /// then serves `/metrics`, `/docs`, `/openapi.json` and the probes there, and only the API and the probes on `listen`;
    /// without it, one listener serves everything. `dabba work` serves `/metrics` and the probes there; without it, `dabba work`
    /// does not listen.
    #[config(env = "DABBA_ADMIN_LISTEN")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) admin_listen: Option<ListenAddress>,

    /// Origins whose pages may call the API from a browser, separated by commas, such as `https://shop.example.org`; `*` for any
    /// origin. Empty by default: no other origin may.
    #[config(env = "DABBA_CORS_ORIGINS", default = "")]
    #[config(layer_attr(arg(long, value_name = "ORIGINS")))]
    pub(crate) cors_origins: Origins,

    /// Hosts under which the API is served, separated by commas and without ports, such as `api.example.org,127.0.0.1`. Requests
    /// for other hosts are refused with 421. This protects a server in a private network from pages that rebind their name to its
    /// address. The probes and `admin_listen` are served under any host. Empty by default: any host.
    #[config(env = "DABBA_ALLOWED_HOSTS", default = "")]
    #[config(layer_attr(arg(long, value_name = "HOSTS")))]
    pub(crate) allowed_hosts: Hosts,

    /// Time for which browsers use HTTPS only, in seconds (`Strict-Transport-Security`). 0 to 63,072,000; default 0, which omits
    /// the header. Set it only if clients reach the server exclusively by HTTPS.
    #[config(env = "DABBA_HSTS_SECONDS", default = 0)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) hsts_seconds: Bounded<0, 63_072_000>,

    /// Filter for the log: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per module such as
    /// `info,dabba_engine=debug`.
    #[config(env = "DABBA_LOG", default = "info")]
    #[config(layer_attr(arg(long, value_name = "FILTER")))]
    pub(crate) log: LogFilter,

    /// Format of the log on standard error: `text` or `json`; default `text` on a terminal, otherwise `json`.
    #[config(env = "DABBA_LOG_FORMAT")]
    #[config(layer_attr(arg(long, value_name = "text|json")))]
    pub(crate) log_format: Option<LogFormat>,

    /// File with the key that signs tokens, as at least 64 hexadecimal digits; default `signing-key` in the data directory,
    /// created at the first start.
    #[config(env = "DABBA_SIGNING_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) signing_key_file: Option<PathBuf>,

    /// Lifetime of a token, in seconds. 60 to 31,536,000; default 43,200.
    #[config(env = "DABBA_TOKEN_LIFETIME_SECONDS", default = 43_200)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) token_lifetime_seconds: Bounded<60, 31_536_000>,

    /// Retention of idempotency keys, in seconds. 60 to 31,536,000; default 604,800.
    #[config(env = "DABBA_IDEMPOTENCY_RETENTION_SECONDS", default = 604_800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) idempotency_retention_seconds: Bounded<60, 31_536_000>,

    /// Maximum number of writes that wait for one committer. 1 to 1,000,000; default 4,096. Further writes are refused with 503.
    #[config(env = "DABBA_COMMIT_QUEUE_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_queue_limit: Bounded<1, 1_000_000>,

    /// Maximum number of writes in one transaction. 1 to 10,000; default 256.
    #[config(env = "DABBA_COMMIT_BATCH_LIMIT", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_batch_limit: Bounded<1, 10_000>,

    /// Number of concurrent transactions that write to one PostgreSQL database. 1 to 64; default 2, for the embedded database 1.
    #[config(env = "DABBA_COMMITTERS")]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) committers: Option<Bounded<1, 64>>,

    /// Number of connections that read from the embedded database, each on its own thread. 1 to 64; default 4.
    #[config(env = "DABBA_READER_CONNECTIONS", default = 4)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) reader_connections: Bounded<1, 64>,

    /// Timeout for one request, in seconds. 1 to 600; default 30.
    #[config(env = "DABBA_REQUEST_TIMEOUT_SECONDS", default = 30)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) request_timeout_seconds: Bounded<1, 600>,

    /// Maximum number of wrong passwords for one e-mail address from one network (an IPv4 address, or an IPv6 /48) in 5 minutes;
    /// ten times as many from all networks that have failed before, together in 50 minutes. 1 to 1,000,000; default 10.
    #[config(env = "DABBA_TOKENS_PER_EMAIL_LIMIT", default = 10)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) tokens_per_email_limit: Bounded<1, 1_000_000>,

    /// Maximum number of wrong passwords from one client address (of IPv6, a /64) in a minute; ten times as many from an IPv6
    /// /48. 1 to 1,000,000; default 60.
    #[config(env = "DABBA_TOKENS_PER_ADDRESS_LIMIT", default = 60)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) tokens_per_address_limit: Bounded<1, 1_000_000>,

    /// Maximum number of attempts to register an account from one client address (of IPv6, a /64) in an hour, other than by
    /// admins; ten times as many from an IPv6 /48. Refused attempts and retries count. 1 to 1,000,000; default 20.
    #[config(env = "DABBA_ACCOUNTS_PER_ADDRESS_LIMIT", default = 20)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) accounts_per_address_limit: Bounded<1, 1_000_000>,

    /// Maximum number of quotes per minute from one client address. 0 to 1,000,000; default 600; 0 means no limit.
    #[config(env = "DABBA_QUOTES_PER_ADDRESS_LIMIT", default = 600)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) quotes_per_address_limit: Bounded<0, 1_000_000>,

    /// Maximum number of open orders of one customer that this server has placed. 0 to 1,000; default 20; 0 means no limit. An
    /// order is open until it is delivered or ends otherwise; after 24 hours it no longer counts.
    #[config(env = "DABBA_OPEN_ORDERS_LIMIT", default = 20)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) open_orders_limit: Bounded<0, 1_000>,

    /// Maximum number of writes per minute of one customer: requests other than GET and HEAD, refused ones included. 0 to
    /// 1,000,000; default 120; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_WRITES_LIMIT", default = 120)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) customer_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one customer sends per minute, in KiB. 0 to 4,000,000; default 1,024; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_BODY_KIB_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) customer_body_kib_limit: Bounded<0, 4_000_000>,

    /// Maximum number of writes per minute of one account of restaurant staff or of a courier. 0 to 1,000,000; default 1,200; 0
    /// means no limit. Admins have no limit.
    #[config(env = "DABBA_STAFF_WRITES_LIMIT", default = 1200)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) staff_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one account of restaurant staff or of a courier sends per minute, in KiB. 0 to 4,000,000;
    /// default 65,536; 0 means no limit. A menu has up to 4,096 KiB.
    #[config(env = "DABBA_STAFF_BODY_KIB_LIMIT", default = 65_536)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) staff_body_kib_limit: Bounded<0, 4_000_000>,

    /// Networks or addresses of the proxies in front of the server, separated by commas, such as `10.0.0.0/8`; default none. For
    /// a request from a trusted proxy, the client's address is the last address in `X-Forwarded-For` that is not a proxy's; other
    /// clients could put any address into this header. `connections_per_address_limit` does not apply to the proxies.
    #[config(env = "DABBA_TRUSTED_PROXIES", default = "")]
    #[config(layer_attr(arg(long, value_name = "NETWORKS")))]
    pub(crate) trusted_proxies: Networks,

    /// Maximum number of connections from clients. 1 to 1,000,000; default 4,096. A connection beyond it replaces an idle
    /// connection, or is closed if all connections are busy. The limit on open files of the process may lower this limit.
    #[config(env = "DABBA_CONNECTION_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connection_limit: Bounded<1, 1_000_000>,

    /// Maximum number of connections from one address, or from one IPv6 network (/64). 1 to 1,000,000; default 1,024. Further
    /// connections are closed. Connections from `trusted_proxies` do not count.
    #[config(env = "DABBA_CONNECTIONS_PER_ADDRESS_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connections_per_address_limit: Bounded<1, 1_000_000>,

    /// Maximum time for finishing running work after a stop signal, in seconds. 1 to 600; default 10.
    #[config(env = "DABBA_SHUTDOWN_GRACE_SECONDS", default = 10)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) shutdown_grace_seconds: Bounded<1, 600>,
}

/// The settings of one source. Every setting may be absent.
pub(crate) type Layer = <Settings as Config>::Layer;
