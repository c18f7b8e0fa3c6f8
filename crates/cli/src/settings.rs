//! The settings: by flag, by environment variable, by file, and each with a default.
//!
//! [`Settings`] is the only list; `docs/settings.md` and `dabba settings` are made from it. To add
//! one: a field here, its use where the server is put together, and the page made anew (a test says
//! how).

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

/// The file that is read when none is named, if there is one.
pub(crate) const DEFAULT_FILE: &str = "dabba.toml";

/// What every environment variable of a setting begins with.
pub(crate) const ENVIRONMENT_PREFIX: &str = "DABBA_";

/// All settings.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[config(layer_attr(command(next_help_heading = "Settings")))]
pub(crate) struct Settings {
    /// Host, by name or address, and port to serve on. Port 0 takes any free port.
    #[config(env = "DABBA_LISTEN", default = "127.0.0.1:8080")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) listen: ListenAddress,

    /// Directory of the embedded database and of the signing key. Made when it is not there.
    #[config(env = "DABBA_DATA", default = "dabba-data")]
    #[config(layer_attr(arg(long, value_name = "DIRECTORY")))]
    pub(crate) data: PathBuf,

    /// URL of the PostgreSQL database that keeps all orders, as in
    /// `postgresql://user@host/database?sslmode=verify-full`, or `file:PATH` for a file that contains the URL. Other users of
    /// the machine can read the arguments of a process, so a URL with a password belongs in such a file or in the environment.
    /// The embedded database is used when neither this nor `shards` is given.
    #[config(env = "DABBA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) database: Option<DatabaseUrl>,

    /// URL of a replica of `database`, which takes over reads that need not be of this very moment.
    #[config(env = "DABBA_REPLICA_DATABASE")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) replica_database: Option<DatabaseUrl>,

    /// File (TOML) that lists several PostgreSQL databases and says which of them keeps which orders.
    #[config(env = "DABBA_SHARDS")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) shards: Option<PathBuf>,

    /// Most connections to each PostgreSQL database.
    #[config(env = "DABBA_POOL_SIZE", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) pool_size: PoolSize,

    /// Longest wait for a connection while all are in use, in milliseconds. Then comes 503.
    #[config(env = "DABBA_POOL_WAIT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) pool_wait_milliseconds: Milliseconds,

    /// Time after which a connection that nobody has used is closed, in seconds.
    #[config(env = "DABBA_POOL_IDLE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_idle_seconds: PoolSeconds,

    /// Age up to which a connection is used, in seconds.
    #[config(env = "DABBA_POOL_LIFETIME_SECONDS", default = 1800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) pool_lifetime_seconds: PoolSeconds,

    /// Longest time for making a connection, in milliseconds.
    #[config(env = "DABBA_CONNECT_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) connect_timeout_milliseconds: Milliseconds,

    /// Longest time for one statement in a PostgreSQL database, in milliseconds.
    #[config(env = "DABBA_STATEMENT_TIMEOUT_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) statement_timeout_milliseconds: Milliseconds,

    /// By what name the connections are seen in PostgreSQL's `pg_stat_activity`.
    #[config(env = "DABBA_APPLICATION_NAME", default = "dabba")]
    #[config(layer_attr(arg(long, value_name = "NAME")))]
    pub(crate) application_name: Name,

    /// How often a transaction that collides with others is tried before it fails.
    #[config(env = "DABBA_TRANSACTION_ATTEMPTS", default = 16)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) transaction_attempts: Bounded<1, 1_000>,

    /// Longest time for finding out what became of a transaction whose connection was lost at COMMIT, in
    /// milliseconds. Then the answer is 503 `outcome_unknown`.
    #[config(env = "DABBA_RESOLVE_TIMEOUT_MILLISECONDS", default = 3000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) resolve_timeout_milliseconds: Milliseconds,

    /// How far a replica may be behind, in milliseconds. When it is further, it is not used.
    #[config(env = "DABBA_REPLICA_LAG_LIMIT_MILLISECONDS", default = 2000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) replica_lag_limit_milliseconds: Milliseconds,

    /// Maximum difference between the clock of this machine and the clock of the PostgreSQL database that keeps the accounts, in
    /// seconds. 1 to 3,600; default 5. Beyond the limit a server does not start; while it runs it is not ready and works no
    /// tasks.
    #[config(env = "DABBA_CLOCK_SKEW_LIMIT_SECONDS", default = 5)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) clock_skew_limit_seconds: Bounded<1, 3_600>,

    /// Whether to bring the database to the newest schema before serving.
    #[config(env = "DABBA_MIGRATE", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) migrate: bool,

    /// Whether the server works tasks as well, such as expiring orders that nobody accepts. With `false`,
    /// processes with `dabba work` have to.
    #[config(env = "DABBA_WORK", default = true)]
    #[config(layer_attr(arg(long, value_name = "true|false")))]
    pub(crate) work: bool,

    /// Tasks of a kind (deadlines, payments) that are worked side by side.
    #[config(env = "DABBA_TASK_CONCURRENCY", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) task_concurrency: Bounded<1, 10_000>,

    /// How often it is looked for tasks that are due, in milliseconds. For what has to be done at once, workers
    /// are woken.
    #[config(env = "DABBA_TASK_POLL_MILLISECONDS", default = 1000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) task_poll_milliseconds: Milliseconds,

    /// For how long a task that a process has taken is nobody else's, in seconds. The tasks of one that dies
    /// are taken over after this time. Longer than `payment_timeout_seconds`.
    #[config(env = "DABBA_TASK_LEASE_SECONDS", default = 30)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) task_lease_seconds: Bounded<1, 600>,

    /// Who moves the money of payments by card: `stripe`, or `simulated`, which moves none. No cards are
    /// taken, when absent.
    #[config(env = "DABBA_PAYMENT_GATEWAY")]
    #[config(layer_attr(arg(long, value_name = "stripe|simulated")))]
    pub(crate) payment_gateway: Option<PaymentGatewayName>,

    /// Where the payment provider is. Stripe itself, or a simulation within the server, when absent.
    #[config(env = "DABBA_PAYMENT_URL")]
    #[config(layer_attr(arg(long, value_name = "URL")))]
    pub(crate) payment_url: Option<WebUrl>,

    /// File with the secret key for the payment provider. Needed for `stripe`.
    #[config(env = "DABBA_PAYMENT_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_key_file: Option<PathBuf>,

    /// File with the secret with which the payment provider signs what it posts to
    /// `/v1/webhooks/payments`. Nothing can be posted there, when absent.
    #[config(env = "DABBA_PAYMENT_WEBHOOK_SECRET_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) payment_webhook_secret_file: Option<PathBuf>,

    /// How long after placing an order its payment by card has to be certain, in seconds. Then the order is
    /// cancelled.
    #[config(env = "DABBA_PAYMENT_DEADLINE_SECONDS", default = 600)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_deadline_seconds: Bounded<10, 86_400>,

    /// Longest time for one call of the payment provider, in seconds.
    #[config(env = "DABBA_PAYMENT_TIMEOUT_SECONDS", default = 15)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) payment_timeout_seconds: Bounded<1, 25>,

    /// So many calls in a row without an answer, and the payment provider is left alone for a while.
    #[config(env = "DABBA_PAYMENT_BREAKER_FAILURES", default = 5)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_failures: Bounded<1, 1_000>,

    /// For how long, in milliseconds.
    #[config(env = "DABBA_PAYMENT_BREAKER_OPEN_MILLISECONDS", default = 5000)]
    #[config(layer_attr(arg(long, value_name = "MILLISECONDS")))]
    pub(crate) payment_breaker_open_milliseconds: Milliseconds,

    /// How many calls are tried side by side after that.
    #[config(env = "DABBA_PAYMENT_BREAKER_PROBES", default = 2)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) payment_breaker_probes: Bounded<1, 100>,

    /// Host, by name or address, and port of a listener for operators. Port 0 takes any free port. `dabba serve` has `/metrics`,
    /// `/docs`, `/openapi.json` and the probes there, and serves the API and the probes alone on `listen`; without it, one listener
    /// serves everything. `dabba work` has `/metrics` and the probes there; without it, it listens nowhere.
    #[config(env = "DABBA_ADMIN_LISTEN")]
    #[config(layer_attr(arg(long, value_name = "ADDRESS")))]
    pub(crate) admin_listen: Option<ListenAddress>,

    /// Origins whose pages may call the API from a browser, separated by commas, such as `https://shop.example.org`; `*` for
    /// any. Empty: no other origin may.
    #[config(env = "DABBA_CORS_ORIGINS", default = "")]
    #[config(layer_attr(arg(long, value_name = "ORIGINS")))]
    pub(crate) cors_origins: Origins,

    /// Hosts under which the API is served, separated by commas and without ports, such as `api.example.org,127.0.0.1`; a
    /// request for another host is refused with 421. Protects a server in a private network from pages that rebind their name
    /// to its address. The probes and
    /// `admin_listen` are served under any host. Empty: any host.
    #[config(env = "DABBA_ALLOWED_HOSTS", default = "")]
    #[config(layer_attr(arg(long, value_name = "HOSTS")))]
    pub(crate) allowed_hosts: Hosts,

    /// Time for which browsers use HTTPS only, in seconds (`Strict-Transport-Security`). 0 to 63,072,000; 0: the header is
    /// not sent. Only if the server is reached by HTTPS alone.
    #[config(env = "DABBA_HSTS_SECONDS", default = 0)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) hsts_seconds: Bounded<0, 63_072_000>,

    /// What to log: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels per module as in
    /// `info,dabba_engine=debug`.
    #[config(env = "DABBA_LOG", default = "info")]
    #[config(layer_attr(arg(long, value_name = "FILTER")))]
    pub(crate) log: LogFilter,

    /// How to log to standard error: `text` or `json`. Text to a terminal and JSON otherwise, when
    /// absent.
    #[config(env = "DABBA_LOG_FORMAT")]
    #[config(layer_attr(arg(long, value_name = "text|json")))]
    pub(crate) log_format: Option<LogFormat>,

    /// File with the key that signs tokens, as at least 64 hexadecimal digits. `signing-key` in the
    /// data directory when absent; made there at the first start.
    #[config(env = "DABBA_SIGNING_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) signing_key_file: Option<PathBuf>,

    /// How long a token is valid, in seconds.
    #[config(env = "DABBA_TOKEN_LIFETIME_SECONDS", default = 43_200)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) token_lifetime_seconds: Bounded<60, 31_536_000>,

    /// How long an idempotency key is remembered, in seconds.
    #[config(env = "DABBA_IDEMPOTENCY_RETENTION_SECONDS", default = 604_800)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) idempotency_retention_seconds: Bounded<60, 31_536_000>,

    /// Most writes that wait for the store. What comes beyond is answered with 503.
    #[config(env = "DABBA_COMMIT_QUEUE_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_queue_limit: Bounded<1, 1_000_000>,

    /// Most writes in one transaction.
    #[config(env = "DABBA_COMMIT_BATCH_LIMIT", default = 256)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) commit_batch_limit: Bounded<1, 10_000>,

    /// Transactions that write to one PostgreSQL database side by side. 2, and 1 for the embedded
    /// database, when absent.
    #[config(env = "DABBA_COMMITTERS")]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) committers: Option<Bounded<1, 64>>,

    /// Connections that read from the embedded database, each on a thread of its own.
    #[config(env = "DABBA_READER_CONNECTIONS", default = 4)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) reader_connections: Bounded<1, 64>,

    /// Longest time for one request, in seconds.
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

    /// Maximum number of quotes per minute from one client address. 0 to 1,000,000; 0 means no limit.
    #[config(env = "DABBA_QUOTES_PER_ADDRESS_LIMIT", default = 600)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) quotes_per_address_limit: Bounded<0, 1_000_000>,

    /// Maximum number of open orders of one customer that this server has placed. 0 to 1,000; 0 means no limit. An order is
    /// open until it is delivered or ends otherwise; after 24 hours it no longer counts.
    #[config(env = "DABBA_OPEN_ORDERS_LIMIT", default = 20)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) open_orders_limit: Bounded<0, 1_000>,

    /// Maximum number of writes per minute of one customer: requests other than GET and HEAD, refused ones included. 0 to
    /// 1,000,000; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_WRITES_LIMIT", default = 120)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) customer_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one customer sends per minute, in KiB. 0 to 4,000,000; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_BODY_KIB_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) customer_body_kib_limit: Bounded<0, 4_000_000>,

    /// Maximum number of writes per minute of one account of restaurant staff or of a courier. 0 to 1,000,000; 0 means no
    /// limit. Admins have no limit.
    #[config(env = "DABBA_STAFF_WRITES_LIMIT", default = 1200)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) staff_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one account of restaurant staff or of a courier sends per minute, in KiB. 0 to
    /// 4,000,000; 0 means no limit. A menu has up to 4,096 KiB.
    #[config(env = "DABBA_STAFF_BODY_KIB_LIMIT", default = 65_536)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) staff_body_kib_limit: Bounded<0, 4_000_000>,

    /// Networks or addresses of the proxies in front of the server, separated by commas, such as `10.0.0.0/8`. Of a request
    /// that comes from one of them, the client's address is the last one in `X-Forwarded-For` that is not a proxy's; anyone
    /// else could write in this header what they like. Their connections do not count by address.
    #[config(env = "DABBA_TRUSTED_PROXIES", default = "")]
    #[config(layer_attr(arg(long, value_name = "NETWORKS")))]
    pub(crate) trusted_proxies: Networks,

    /// Maximum number of connections of clients. A new one beyond it takes the place of one that does nothing, or is closed if
    /// all are busy. Lowered to what the limit of open files of the process leaves.
    #[config(env = "DABBA_CONNECTION_LIMIT", default = 4096)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connection_limit: Bounded<1, 1_000_000>,

    /// Maximum number of connections from one address, or from one IPv6 network (/64). A new one beyond it is closed. Those of
    /// `trusted_proxies` do not count.
    #[config(env = "DABBA_CONNECTIONS_PER_ADDRESS_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) connections_per_address_limit: Bounded<1, 1_000_000>,

    /// Longest time to finish what was begun when the server is told to stop, in seconds.
    #[config(env = "DABBA_SHUTDOWN_GRACE_SECONDS", default = 10)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) shutdown_grace_seconds: Bounded<1, 600>,
}

/// The settings as one source gives them.
pub(crate) type Layer = <Settings as Config>::Layer;
