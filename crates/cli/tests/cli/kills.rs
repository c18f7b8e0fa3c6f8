//! Card payments while server and worker are killed repeatedly at random moments, and the payment provider fails at
//! random.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dabba_engine::{Random, SeededRandom};
use dabba_gateways::simulated::{ProviderHealth, ledger::Summary};
use dabba_pg_cluster::{Cluster, ClusterOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    provider::{Provider, counted, id_of, place_by_card, wait_until, webhook_secret},
    support::{Server, Working, free_address, stdout},
    walking::{Course, PART, Walk, Walking},
};

/// Number of orders.
const ORDERS: usize = 2_000;
/// Number of ended orders after which nothing is killed any more.
const ORDERS_AMONG_KILLS: usize = 1_900;
/// Maximum number of acknowledged steps between two kills.
const MAX_STEPS_BETWEEN: u64 = 600;
/// Maximum time between two kills.
const MAX_TIME_BETWEEN: Duration = Duration::from_secs(3);
/// Percentage of calls to the provider that fail, independent of the card.
const FLAPPING_PERCENT: u8 = 20;
/// Maximum time of the test on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);
/// Seed that determines the kills, the cards and the course of each order.
const SEED: u64 = 20_261_125;

/// Two processes on one database, which are killed and restarted, and the payment provider, which keeps running.
struct Targets {
    cluster: Cluster,
    database: String,
    provider: Provider,
    address: String,
    directory: TempDir,
    server: Option<Server>,
    working: Option<Working>,
}

impl Targets {
    /// Starts all of them.
    fn start() -> Self {
        let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
        let database = cluster.create_database().unwrap();
        let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
        let secret = webhook_secret(directory.path());
        let provider = Provider::reporting_to(&address, &secret);
        fs::create_dir(directory.path().join("data")).unwrap();
        let mut targets =
            Self { cluster, database, provider, address, directory, server: None, working: None };
        targets.write_settings(&secret);
        targets.start_server();
        targets.start_working();
        targets
    }

    /// Writes settings with short leases, so that the tasks of a killed process are retried soon, and with a short
    /// timeout for the provider.
    fn write_settings(&self, secret: &Path) {
        let text = format!(
            "database = \"{}\"\npayment_gateway = \"simulated\"\npayment_url = \"{}\"\n\
             payment_webhook_secret_file = \"{}\"\npayment_timeout_seconds = 1\ntask_lease_seconds = 3\n\
             task_poll_milliseconds = 100\npayment_breaker_open_milliseconds = 200\nlog = \"error\"\n",
            self.url(),
            self.provider.address(),
            secret.display()
        );
        fs::write(self.settings(), text).unwrap();
    }

    fn settings(&self) -> PathBuf {
        self.directory.path().join("kills.toml")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn url(&self) -> String {
        self.cluster.url(&self.database)
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn start_server(&mut self) {
        let settings = self.settings();
        let arguments = ["--demo", "--listen", &self.address, "--config", settings.to_str().unwrap()];
        self.server = Some(Server::serve(&self.data(), &arguments));
    }

    fn start_working(&mut self) {
        let settings = self.settings();
        self.working = Some(Working::start(&self.data(), &["--config", settings.to_str().unwrap()]));
    }

    /// Kills one or both processes, and restarts them. Returns the number of killed processes.
    fn kill_some(&mut self, random: &dyn Random, walking: &Walking) -> u32 {
        let (server, working) = match random.next_u64() % 4 {
            0 => (true, true),
            1 => (false, true),
            _ => (true, false),
        };
        if server {
            walking.set_served(false);
            self.server.take().unwrap().kill();
        }
        if working {
            self.working.take().unwrap().kill();
            self.start_working();
        }
        if server {
            self.start_server();
            walking.set_served(true);
        }
        u32::from(server) + u32::from(working)
    }

    /// Makes delayed payment tasks due, and retries parked ones.
    async fn make_tasks_due(&self) {
        let sql = "UPDATE tasks SET run_at_ns = 0 WHERE id IN (SELECT id FROM tasks WHERE queue = 'payments' \
                   AND failures <> '[]' AND run_at_ns > (extract(epoch FROM now()) + 2) * 1000000000 \
                   FOR UPDATE SKIP LOCKED)";
        aside(|| self.cluster.execute(&self.database, sql)).unwrap();
        let admin = self.server().client("admin");
        let parked = admin.get("/v1/tasks?state=parked").send().await.unwrap().body;
        for task in parked["tasks"].as_array().unwrap() {
            admin.post(&format!("/v1/tasks/{}/retry", id_of(task))).send().await.unwrap();
        }
    }

    /// Proves that the circuit breaker is closed: the server alone pays a last order.
    async fn check_breaker(&mut self) {
        let working = self.working.take().unwrap();
        aside(|| working.stop("TERM"));
        let last = place_by_card(self.server(), "tok_succeed").await;
        wait_until(self.server(), &last, |order| order["status"] == "confirmed").await;
        assert_eq!(counted(self.server(), &["dabba_payment_breaker{", "\"closed\""]).await, 1);
    }

    /// Proves that the audit of this many orders finds nothing.
    fn check_audit(self, orders: usize) {
        let audited = stdout(self.directory.path(), &["audit", "--json", "--database", &self.url()]);
        let audited: Value = serde_json::from_str(&audited).unwrap();
        assert_eq!((&audited["orders"], &audited["counts"]), (&json!(orders), &json!({})), "{audited}");
    }
}

/// Runs blocking work while the walks continue.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Proves that an order has reached its intended status, or was never paid, and that the provider's records match it,
/// without duplicates and without remaining money.
fn check(walk: &Walk, order: &Value, done: Summary) {
    let payment = &order["payment"];
    let amount = |name: &str| payment[name].as_i64().unwrap();
    let total = order["amounts"]["total"].as_i64().unwrap();
    let about = format!("{walk:?}: {done:?} {order}");
    assert!(
        done.authorizations <= 1 && done.captures <= 1 && done.voids <= 1,
        "an operation happened twice: {about}"
    );
    assert_eq!((done.captured, done.refunded), (amount("captured"), amount("refunded")), "{about}");
    assert_eq!(done.authorized, done.captured + done.voided, "money is still authorized: {about}");
    let refunds = payment["refunds"].as_array().map_or(0, Vec::len);
    assert_eq!(done.refunds as usize, refunds, "{about}");
    let (status, payment) = (order["status"].as_str().unwrap(), payment["status"].as_str().unwrap());
    let (captured, refunded) = match (status, payment) {
        ("delivered", "captured") if walk.course == Course::Delivered => (total, 0),
        ("delivered", "partially_refunded") if walk.course == Course::RefundedInPart => (total, PART),
        ("refunded", "refunded") => (total, total),
        ("cancelled", "voided" | "failed") => (0, 0),
        _ => panic!("the order has not ended: {about}"),
    };
    assert_eq!((done.captured, done.refunded), (captured, refunded), "{about}");
    if !matches!(walk.course, Course::CancelledByCustomer | Course::CancelledByKitchen) {
        assert_eq!(status == "cancelled", walk.token == Some("tok_decline"), "{about}");
    }
}

/// Proves I8 through `kill -9` of the server and of a worker at random moments, with a payment provider that fails at
/// random, before or after it has acted, or never answers: every order ends, each is paid once or not at all, each
/// refund happens once, and the audit finds nothing (I1 to I6).
#[tokio::test(flavor = "multi_thread")]
async fn no_card_is_charged_twice_whatever_is_killed() {
    println!("seed {SEED}");
    let begun = Instant::now();
    let mut targets = aside(Targets::start);
    targets.provider.set_health(ProviderHealth::Flapping { percent: FLAPPING_PERCENT }).await;
    let random = SeededRandom::new(SEED);
    let mut walking = Walking::start(targets.server(), ORDERS, &random);
    let mut kills = 0;
    while walking.ended() < ORDERS_AMONG_KILLS {
        walking.wait_for(1 + random.next_u64() % MAX_STEPS_BETWEEN, MAX_TIME_BETWEEN).await;
        kills += aside(|| targets.kill_some(&random, &walking));
        targets.make_tasks_due().await;
        assert!(begun.elapsed() < LIMIT, "only {} orders have ended", walking.ended());
    }
    assert!(kills >= 10, "{kills}");

    targets.provider.set_health(ProviderHealth::Up).await;
    let walks = loop {
        if let Some(walks) = walking.finish(MAX_TIME_BETWEEN).await {
            break walks;
        }
        targets.make_tasks_due().await;
        assert!(begun.elapsed() < LIMIT, "only {} orders have ended", walking.ended());
    };
    assert_eq!(walks.len(), ORDERS);
    let admin = targets.server().client("admin");
    for walk in &walks {
        let order = admin.get(&format!("/v1/orders/{}", walk.id)).send().await.unwrap().body;
        check(walk, &order, targets.provider.summary(&order).await);
    }
    targets.check_breaker().await;
    aside(|| targets.check_audit(ORDERS + 1));
    println!("{ORDERS} orders among {kills} kills, in {:?}", begun.elapsed());
}
