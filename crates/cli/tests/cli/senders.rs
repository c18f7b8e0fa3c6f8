//! Webhooks while the servers that send them are killed.

use std::{collections::BTreeMap, path::Path, time::Instant};

use dabba_engine::{Random, SeededRandom};
use dabba_pg_cluster::Cluster;
use dabba_sim::Client;
use dabba_testkit::{PATIENCE, equal, eventually};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use super::{
    followers::{check, versions_of},
    receiver::{ACCEPTED, Attempt, Receiver, Stage},
    split::aside,
    support::{Server, free_address},
    walking::{Walk, Walking, check_delivered},
};

/// Number of kills of a server with the embedded database.
const KILLS: usize = 20;
/// Number of orders that are placed and delivered around each kill.
const ORDERS: usize = 12;
/// The unreliable endpoint refuses each request with this interval.
const REFUSED_EVERY: usize = 4;
/// Status of an outage before the number of the kill, which identifies the failures of the outage.
const OUTAGE: u16 = 520;
/// Seed that determines at which requests servers are killed.
const SEED: u64 = 20_261_126;

/// Moment at which a server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The reliable endpoint has received an event, and its response is not sent.
    Received,
    /// The reliable endpoint has received an event, its response is not sent, and a checkpoint was written since.
    Overtaken,
    /// The reliable endpoint has just accepted an event, so the checkpoint does not contain the delivery yet.
    Accepted,
    /// The unreliable endpoint has just refused an event, so the row of the failure does not exist yet.
    Refused,
    /// The unreliable endpoint has just accepted an event that it refused before, so the row of the failure still exists.
    Retried,
    /// The row of a failure is stored, during an outage of the unreliable endpoint.
    Stored,
}

/// All moments, in the order of the kills.
const MOMENTS: [Moment; 6] =
    [Moment::Received, Moment::Overtaken, Moment::Accepted, Moment::Refused, Moment::Retried, Moment::Stored];

impl Moment {
    /// Returns the maximum number of requests of this kind that pass before a kill.
    const fn max_passed(self) -> u64 {
        match self {
            Self::Received | Self::Accepted => 40,
            Self::Overtaken | Self::Refused => 8,
            Self::Retried => 3,
            Self::Stored => 0,
        }
    }

    /// Returns the stage of the request at which a server is killed.
    const fn stage(self) -> Stage {
        match self {
            Self::Received | Self::Overtaken => Stage::Received,
            Self::Accepted | Self::Refused | Self::Retried | Self::Stored => Stage::Answered,
        }
    }

    /// Returns whether a request is of this kind.
    const fn is_at(self, attempt: &Attempt) -> bool {
        let is_accepted = attempt.status == ACCEPTED;
        match self {
            Self::Received | Self::Overtaken | Self::Accepted => is_accepted,
            Self::Refused | Self::Stored => !is_accepted,
            Self::Retried => is_accepted && attempt.is_retry,
        }
    }
}

/// A kill that must cause a second delivery of an event, because the delivery was not in the checkpoint.
struct Repetition {
    receiver: Receiver,
    id: String,
    /// Number of events that the endpoint had accepted at the kill.
    accepted: usize,
}

impl Repetition {
    fn has_happened(&self) -> bool {
        self.receiver.ids()[self.accepted..].contains(&self.id)
    }
}

/// Two webhook endpoints, and the kills of their senders.
struct Endpoints {
    reliable: Receiver,
    unreliable: Receiver,
    /// Path of the unreliable endpoint.
    path: String,
    random: SeededRandom,
    /// Number of kills so far.
    kills: usize,
    /// Kills whose event is certainly delivered again.
    certain: Vec<Repetition>,
    /// Kills whose event is delivered again unless a checkpoint was written at the same time.
    likely: Vec<Repetition>,
}

impl Endpoints {
    async fn create(admin: &Client) -> Self {
        let (reliable, unreliable) = (Receiver::start(), Receiver::start());
        unreliable.refuse_every(REFUSED_EVERY);
        let create = async |receiver: &Receiver| {
            let endpoint = json!({"url": receiver.url()});
            admin.post("/v1/webhook-endpoints").json(&endpoint).send().await.unwrap().body
        };
        create(&reliable).await;
        let path = format!("/v1/webhook-endpoints/{}", create(&unreliable).await["id"].as_str().unwrap());
        let random = SeededRandom::new(SEED);
        Self { reliable, unreliable, path, random, kills: 0, certain: Vec::new(), likely: Vec::new() }
    }

    /// Returns the orders of the next kill, as numbers of walks.
    const fn walks(&self) -> std::ops::Range<usize> {
        self.kills * ORDERS..(self.kills + 1) * ORDERS
    }

    /// Returns the endpoint at which a moment happens.
    const fn at(&self, moment: Moment) -> &Receiver {
        match moment {
            Moment::Received | Moment::Overtaken | Moment::Accepted => &self.reliable,
            Moment::Refused | Moment::Retried | Moment::Stored => &self.unreliable,
        }
    }

    /// Returns the status of an outage at the next kill.
    fn outage(&self) -> u16 {
        OUTAGE + u16::try_from(self.kills).unwrap()
    }

    /// Sets the trap for a moment.
    fn prepare(&self, moment: Moment) -> oneshot::Receiver<Attempt> {
        if moment == Moment::Stored {
            self.unreliable.respond_with(self.outage());
        }
        let mut passing = self.random.next_u64() % (moment.max_passed() + 1);
        self.at(moment).trap(moment.stage(), move |attempt| {
            if !moment.is_at(attempt) {
                return false;
            }
            let is_now = passing == 0;
            passing = passing.saturating_sub(1);
            is_now
        })
    }

    /// Waits for a moment, and kills the server that sends. `admin` is a client of any server.
    async fn kill(
        &mut self,
        moment: Moment,
        sprung: oneshot::Receiver<Attempt>,
        server: Server,
        admin: &Client,
    ) {
        let attempt =
            timeout(PATIENCE, sprung).await.unwrap_or_else(|_| panic!("never: {moment:?}")).unwrap();
        if moment == Moment::Overtaken {
            // The row of a failure from now on is written by a checkpoint after the receipt.
            self.unreliable.respond_with(self.outage());
        }
        if matches!(moment, Moment::Overtaken | Moment::Stored) {
            self.wait_for_row(admin).await;
        }
        aside(|| server.kill());
        let receiver = self.at(moment).clone();
        let id = attempt.received.body["id"].as_str().unwrap().to_owned();
        let repetition = Repetition { accepted: receiver.ids().len(), receiver, id };
        match moment {
            Moment::Received | Moment::Overtaken => self.certain.push(repetition),
            Moment::Accepted | Moment::Retried => self.likely.push(repetition),
            Moment::Refused | Moment::Stored => {}
        }
        self.unreliable.respond_with(ACCEPTED);
        self.kills += 1;
    }

    /// Waits until the row of a failure of the present outage is stored.
    async fn wait_for_row(&self, admin: &Client) {
        let status = self.outage();
        eventually("a failure is stored", async || {
            let failures = self.failures(admin).await;
            let is_stored = failures.iter().any(|failure| failure["last_failure"]["status"] == status);
            if is_stored { Ok(()) } else { Err(failures) }
        })
        .await;
    }

    /// Returns the stored failures of the unreliable endpoint.
    async fn failures(&self, admin: &Client) -> Vec<Value> {
        let (mut failures, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{}/failures?limit=100{cursor}", self.path);
            let mut page = admin.get(&path).send().await.unwrap().body;
            failures.append(page["failures"].as_array_mut().unwrap());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return failures,
            }
        }
    }

    /// Proves that all orders are delivered, and that each endpoint has received every event of the feed, with the same
    /// content, and the events of an order first in the order of its history. Returns a summary.
    async fn check(self, admin: &Client, walks: &[Walk]) -> String {
        self.unreliable.refuse_every(0);
        // Retries that wait are due now.
        admin.post(&format!("{}/enable", self.path)).send().await.unwrap();
        assert_eq!(walks.len(), self.kills * ORDERS);
        check_delivered(admin, walks).await;
        let versions = versions_of(admin, walks.iter().map(|walk| walk.id.clone())).await;
        let feed = eventually("the feed has every event", async || {
            let feed = feed(admin).await;
            let ids: Vec<String> = feed.iter().map(|(id, _)| id.clone()).collect();
            check(&ids, &versions).map(|()| feed.into_iter().collect::<BTreeMap<_, _>>())
        })
        .await;
        let (mut received, mut attempts) = (0, 0);
        for (name, receiver) in [("reliable", &self.reliable), ("unreliable", &self.unreliable)] {
            let what = format!("the {name} endpoint has every event");
            eventually(&what, async || check(&receiver.ids(), &versions)).await;
            for body in receiver.bodies() {
                assert_eq!(Some(&body), feed.get(body["id"].as_str().unwrap()), "{name}");
                received += 1;
            }
            attempts += receiver.requests();
        }
        eventually("events whose receipt was not confirmed are delivered again", async || {
            let missing = self.certain.iter().filter(|repetition| !repetition.has_happened());
            equal(missing.count(), &0)
        })
        .await;
        let repeated = self.likely.iter().filter(|repetition| repetition.has_happened()).count();
        assert!(repeated > 0, "no kill was between a receipt and its checkpoint");
        format!(
            "{} kills, {} orders, {} events, {received} received by both endpoints with {attempts} requests; {repeated} of \
             {} kills after a receipt were before its checkpoint",
            self.kills,
            walks.len(),
            feed.len(),
            self.likely.len(),
        )
    }
}

/// Reads the feed from its start, and returns the ids of the events and the events.
async fn feed(admin: &Client) -> Vec<(String, Value)> {
    let (mut events, mut after) = (Vec::new(), "start".to_owned());
    loop {
        let mut page = admin.get(&format!("/v1/events?after={after}&limit=1000")).send().await.unwrap().body;
        let read = std::mem::take(page["events"].as_array_mut().unwrap());
        events.extend(read.into_iter().map(|event| (event["id"].as_str().unwrap().to_owned(), event)));
        page["next_cursor"].as_str().unwrap().clone_into(&mut after);
        if page["at_end"] == true {
            return events;
        }
    }
}

/// Proves I10 through 20 kills of the only server, with `kill -9`, while orders are placed and delivered: during the
/// receipt of an event, before and after a checkpoint of later events, between a receipt and its checkpoint, between a
/// refusal and the row of the failure, between a retry that succeeds and the removal of the row, and after the row is
/// stored. An endpoint that accepts everything and one that often refuses receive every event of the feed at least once,
/// and the events of an order first in the order of its history. The server continues at once after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_a_sender_lose_no_event() {
    println!("seed {SEED}");
    let begun = Instant::now();
    let (address, data) = (free_address(), tempfile::tempdir().unwrap());
    let start = || aside(|| Server::start_at(&address, data.path(), &[]));
    let mut server = start();
    let admin = server.client("admin");
    let mut endpoints = Endpoints::create(&admin).await;
    let mut walks = Vec::new();
    for moment in MOMENTS.into_iter().cycle().take(KILLS) {
        let sprung = endpoints.prepare(moment);
        let mut walking = Walking::in_cash(&server, endpoints.walks());
        endpoints.kill(moment, sprung, server, &admin).await;
        walking.set_served(false);
        server = start();
        walking.set_served(true);
        walks.extend(walking.finish(PATIENCE).await.expect("all orders are delivered"));
    }
    let summary = endpoints.check(&admin, &walks).await;
    println!("{summary}; {:?}", begun.elapsed());
}

/// Proves I10 for two servers on one PostgreSQL database, of which one is killed with `kill -9` while it sends and the
/// other one takes over: at each of the moments of a kill, an endpoint that accepts everything and one that often refuses
/// receive every event of the feed at least once, and the events of an order first in the order of its history. The first
/// lease expires by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_server_sends_after_a_kill() {
    println!("seed {SEED}");
    let begun = Instant::now();
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let (url, data) = (cluster.url(&database), tempfile::tempdir().unwrap());
    let start = |data: &Path| aside(|| Server::start(data, &["--database", &url]));
    let mut sending = start(data.path());
    let mut endpoints = Endpoints::create(&sending.client("admin")).await;
    let holder = "SELECT holder FROM feed_leases WHERE group_name = 'webhooks'";
    let other_than = |holder: &str| {
        let sql = format!(
            "SELECT count(*) FROM feed_leases WHERE group_name = 'webhooks' AND holder <> '{holder}'"
        );
        aside(|| cluster.wait_for_result(&database, &sql, "1")).unwrap();
    };
    other_than("");
    let mut walks = Vec::new();
    for moment in MOMENTS {
        let serving = start(data.path());
        let admin = serving.client("admin");
        let sprung = endpoints.prepare(moment);
        let mut walking = Walking::in_cash(&serving, endpoints.walks());
        let killed = cluster.execute(&database, holder).unwrap();
        endpoints.kill(moment, sprung, sending, &admin).await;
        if endpoints.kills > 1 {
            // As after the time of the lease.
            cluster.execute(&database, "UPDATE feed_leases SET until_ns = 1").unwrap();
        }
        walks.extend(walking.finish(PATIENCE).await.expect("all orders are delivered"));
        // The other server takes the lease before a third one starts.
        other_than(&killed);
        sending = serving;
    }
    let summary = endpoints.check(&sending.client("admin"), &walks).await;
    println!("{summary}; {:?}", begun.elapsed());
}
