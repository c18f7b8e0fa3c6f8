//! `dabba copy` from the embedded database to PostgreSQL, with kills, lost connections and wrong sources and targets.

mod refusals;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use dabba_engine::{Random as _, SeededRandom};
use dabba_pg_cluster::Cluster;
use dabba_testkit::eventually_blocking;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    old_databases::{Past, claim_now},
    support::{Server, block_on, dabba, failure, run, shared_menu, stdout},
};

/// Environment variable with the number of rows per page of a copy.
const ROWS: &str = "DABBA_TEST_COPY_ROWS";

/// Length of the header of a database file, in bytes. The header changes whenever the file is opened.
const HEADER: usize = 100;

/// Number of times that a copy is killed.
const KILLS: usize = 6;

/// Rows that no request of a test writes: an emoji, texts that PostgreSQL stores in another form or not at all, a resolved task,
/// and numbers at their limits.
const EXTREMES: &str = r#"
    UPDATE accounts SET name = '🍜 Zoë "x" \ 味', created_at_ns = 9223372036854775807
        WHERE id = (SELECT min(id) FROM accounts);
    UPDATE tasks SET attempts = 4294967295, leased_until_ns = 1, parked_at_ns = 9223372036854775806, resolved_at_ns = 0,
        resolved_by = (SELECT min(id) FROM accounts), resolution = 'by hand' || char(0), last_error = char(0) || '🍜',
        failures = '[ {"error":"no\u0000 answer","attempt":1,"at_ns":9007199254740993} ]'
        WHERE id = (SELECT min(id) FROM tasks);
"#;

/// A data directory with the database of commit 9d8743c, and an empty PostgreSQL database.
struct Move {
    directory: tempfile::TempDir,
    cluster: &'static Cluster,
    database: String,
    url: String,
}

impl Move {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = Connection::open(directory.path().join("dabba.db")).unwrap();
        source.execute_batch(include_str!("../fixtures/9d8743c/sqlite.sql")).unwrap();
        source.execute_batch(&claim_now()).unwrap();
        let cluster = Cluster::shared().unwrap();
        let database = cluster.create_database().unwrap();
        let url = cluster.url(&database);
        Self { directory, cluster, database, url }
    }

    fn migrated() -> Self {
        let new = Self::new();
        stdout(new.data(), &["migrate", "--data", new.data().to_str().unwrap()]);
        new
    }

    /// Returns the same with a target that is slow for each page, so that a copy can be interrupted in the middle.
    fn slow() -> Self {
        let slow = Self::migrated();
        stdout(slow.data(), &["migrate", "--database", &slow.url]);
        let tables = ["accounts", "menus", "order_events", "orders", "idempotency_keys", "tasks"];
        let triggers = tables.map(|table| {
            format!(
                "CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION slow();"
            )
        });
        slow.set_pause(0.03);
        slow.ask(&triggers.concat());
        slow
    }

    /// Sets the time that the slow target takes per page, in seconds.
    fn set_pause(&self, seconds: f64) {
        self.ask(&format!(
            "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END'"
        ));
    }

    fn data(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self) -> PathBuf {
        self.data().join("dabba.db")
    }

    fn source(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    fn command(&self) -> Command {
        dabba(self.data(), &["copy", "--to", &self.url, "--data", self.data().to_str().unwrap()])
    }

    fn copy(&self) -> Output {
        self.command().output().unwrap()
    }

    fn succeeds(&self) -> String {
        let output = self.copy();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the standard error of a refused copy.
    fn refused(&self) -> String {
        let output = self.copy();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn ask(&self, sql: &str) -> String {
        self.cluster.execute(&self.database, sql).unwrap().trim().to_owned()
    }

    /// Returns the progress that the target stores; empty before the copy begins.
    fn progress(&self) -> String {
        if self.ask("SELECT to_regclass('copies') IS NOT NULL") == "f" {
            return String::new();
        }
        self.ask("SELECT progress FROM copies")
    }

    fn is_finished(&self) -> bool {
        self.ask("SELECT finished_at IS NOT NULL FROM copies") == "t"
    }

    /// Kills a copy with this number of rows per page once the target has more rows than before.
    fn kill(&self, rows: u64) {
        // A loaded machine has time to notice the progress and to kill the copy before its next page.
        self.set_pause(2.0);
        let mut copying = self.begin(rows);
        copying.kill().unwrap();
        copying.wait().unwrap();
        self.set_pause(0.03);
        // PostgreSQL notices the client's end only after the pause, and holds the lock of the copy until then.
        self.disconnect();
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE {}", self.sessions());
        self.cluster.wait_for_result(&self.database, &sessions, "0").unwrap();
    }

    /// Returns the SQL condition for the sessions of copies.
    fn sessions(&self) -> String {
        format!("application_name = 'dabba copy' AND datname = '{}'", self.database)
    }

    /// Terminates the sessions of copies.
    fn disconnect(&self) {
        self.ask(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}",
            self.sessions()
        ));
    }

    /// Starts a copy with this number of rows per page, and waits until it makes progress.
    fn begin(&self, rows: u64) -> Child {
        let before = self.progress();
        let mut command = self.command();
        command.env(ROWS, rows.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut copying = command.spawn().unwrap();
        eventually_blocking("the copy makes progress or ends", || {
            if self.progress() != before || copying.try_wait().unwrap().is_some() {
                Ok(())
            } else {
                Err("none")
            }
        });
        copying
    }
}

/// Proves that a copy of a database with orders in every status is equivalent to its source: every order, history and menu is
/// readable, keys are replayed, people sign in, orders are moved and refunded, tasks are processed, and the audit finds nothing.
/// The source does not change.
#[test]
fn a_copy_is_equivalent_to_its_source() {
    let moved = Move::migrated();
    let before = fs::read(moved.file()).unwrap();
    let text = moved.succeeds();
    assert!(text.contains("order_events: ") && text.contains("breaches: 0,"), "{text}");
    assert!(moved.is_finished());
    let after = fs::read(moved.file()).unwrap();
    assert!(before[HEADER..] == after[HEADER..]);
    let past = Past::read(include_str!("../fixtures/9d8743c/sqlite.json"));
    past.is_kept(moved.data(), &["--database", &moved.url]);
}

/// Proves that values at their limits are copied unchanged, that U+0000 in a message becomes U+FFFD because PostgreSQL cannot store
/// it, that the JSON of a task's failures gets PostgreSQL's form, and that the feed keeps the source's order.
#[test]
fn values_and_the_order_of_the_feed_arrive() {
    let moved = Move::migrated();
    moved.source().execute_batch(EXTREMES).unwrap();
    moved.succeeds();
    let account = moved.ask("SELECT name || ' ' || created_at_ns FROM accounts ORDER BY id LIMIT 1");
    assert_eq!(account, "🍜 Zoë \"x\" \\ 味 9223372036854775807");
    let task = "SELECT concat_ws('|', attempts, leased_until_ns, parked_at_ns, resolved_at_ns, resolution, last_error, \
                failures) FROM tasks ORDER BY id LIMIT 1";
    let expected = "4294967295|1|9223372036854775806|0|by hand\u{fffd}|\u{fffd}🍜|\
                    [{\"at_ns\": 9007199254740993, \"error\": \"no\u{fffd} answer\", \"attempt\": 1}]";
    assert_eq!(moved.ask(task), expected);
    let feed = "SELECT string_agg(upper(replace(order_id::text, '-', '')) || version || data, ',' \
                ORDER BY transaction_id, sequence) FROM order_events";
    let expected: String = moved
        .source()
        .query_row(
            "SELECT group_concat(hex(order_id) || version || data, ',' ORDER BY sequence) FROM order_events",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(moved.ask(feed), expected);
}

/// Proves that a copy killed at any moment resumes from that point, with pages of any size; that no command serves, processes or
/// audits the target before the copy is complete; and that nothing is lost or duplicated.
#[test]
fn a_killed_copy_resumes() {
    const SEED: u64 = 14;
    println!("seed {SEED}");
    let (moved, random) = (Move::slow(), SeededRandom::new(SEED));
    for _ in 0..KILLS {
        let before = moved.progress();
        moved.kill(1 + random.next_u64() % 5);
        assert!(!moved.is_finished() && moved.progress() != before);
        let data = moved.data().to_str().unwrap();
        for command in ["serve", "work", "audit"] {
            let text = failure(moved.data(), &[command, "--data", data, "--database", &moved.url]);
            assert!(text.contains("is not finished: run `dabba copy` again"), "{command}: {text}");
        }
    }
    moved.succeeds();
    for table in
        ["accounts", "restaurants", "menus", "stock", "orders", "order_events", "idempotency_keys", "tasks"]
    {
        let count = format!("SELECT count(*) FROM {table}");
        let expected: i64 = moved.source().query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(moved.ask(&count), expected.to_string(), "{table}");
    }
    // A further run has nothing to do.
    let text = moved.succeeds();
    assert!(text.contains("already"), "{text}");
}

/// Proves that a copy with a lost connection prints what to do, that an interrupted copy ends, that at least one of two
/// concurrent copies continues, and that the copy is complete in the end.
#[test]
fn an_interrupted_or_concurrent_copy_resumes() {
    let moved = Move::slow();
    // A loaded machine has time to notice the progress and to interrupt the next page.
    moved.set_pause(2.0);
    let copying = moved.begin(1);
    moved.disconnect();
    let output = copying.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("run the same command again"), "{text}");

    let copying = moved.begin(1);
    let sent = Command::new("kill").args(["-s", "TERM", &copying.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(!copying.wait_with_output().unwrap().status.success());
    assert!(!moved.is_finished());

    moved.set_pause(0.03);
    // The copy reads the same data from another file, so the lock of the file does not keep the two copies apart.
    let twin = Move { url: moved.url.clone(), database: moved.database.clone(), ..Move::migrated() };
    fs::copy(moved.file(), twin.file()).unwrap();
    let copies = [&moved, &twin].map(|one| {
        one.command().env(ROWS, "20").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let outputs = copies.map(|copy| copy.wait_with_output().unwrap());
    for output in &outputs {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || text.contains("another `dabba copy` writes"), "{text}");
    }
    moved.succeeds();
    assert!(moved.is_finished());
}

/// A server whose log is read. Killed when dropped.
struct Logging(Child);

impl Logging {
    /// Starts a server and returns the first line of its log that names the embedded database.
    fn warns(moved: &Move) -> Value {
        let data = moved.data().to_str().unwrap();
        let fixed =
            ["serve", "--listen", "127.0.0.1:0", "--log", "info", "--log-format", "json", "--work", "false"];
        let arguments = [&fixed[..], &["--data", data, "--database", &moved.url]].concat();
        let mut command = dabba(moved.data(), &arguments);
        let mut serving = Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(serving.0.stderr.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        // A server without a warning would start to serve.
        let line =
            lines.find(|line| line.contains("embedded database") || line.contains("\"serving\"")).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Proves that no command writes to an embedded database that was copied, since the copy would lack the writes; that the operator
/// can still back it up, audit it and override the refusal; and that a restored database does not count as copied.
#[test]
fn a_copied_database_accepts_no_writes() {
    let moved = Move::migrated();
    let data = moved.data().to_str().unwrap();
    moved.succeeds();
    let (mark, backup) = (moved.data().join("dabba.db.copied"), moved.data().join("backup.db"));
    let is_refused = || {
        let menu = shared_menu("indian-grill-gbp.json");
        let import = ["import-menu", menu.to_str().unwrap()];
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["work"], &["tasks"], &import] {
            let text = failure(moved.data(), &[command, &["--data", data]].concat());
            assert!(
                text.contains("was copied to") && text.contains("dabba.db.copied"),
                "{command:?}: {text}"
            );
        }
    };
    is_refused();
    // The next copy restores a missing marker, as after a copy that was killed before it wrote the marker.
    fs::remove_file(&mark).unwrap();
    assert!(moved.succeeds().contains("already"));
    is_refused();
    stdout(moved.data(), &["audit", "--data", data]);
    stdout(moved.data(), &["backup", backup.to_str().unwrap(), "--data", data]);
    stdout(moved.data(), &["restore", backup.to_str().unwrap(), "--data", data, "--replace"]);
    assert!(!mark.exists());
    Server::serve(moved.data(), &["--listen", "127.0.0.1:0", "--log", "warn"]).stop();
}

/// Proves that a server on PostgreSQL warns about an unused embedded database, with the time at which it was copied.
#[test]
fn a_server_warns_about_an_unused_embedded_database() {
    let moved = Move::migrated();
    let elsewhere = Move { directory: tempfile::tempdir().unwrap(), ..Move::migrated() };
    fs::copy(moved.file(), elsewhere.file()).unwrap();
    let warning = Logging::warns(&elsewhere);
    assert_eq!(warning["level"], "WARN");
    assert!(warning["message"].as_str().unwrap().contains("dabba copy --to URL"), "{warning}");
    moved.succeeds();
    let warning = Logging::warns(&moved);
    assert!(warning["message"].as_str().unwrap().contains("may be moved away"), "{warning}");
    assert!(warning["copied_at"].is_string(), "{warning}");
}

/// Proves that an order with a long note and an emoji, placed through a server, is the same after the copy.
#[test]
fn a_long_note_and_an_emoji_are_kept() {
    let moved = Move { directory: tempfile::tempdir().unwrap(), ..Move::new() };
    let server = Server::start(moved.data(), &[]);
    let (restaurant, mut order) =
        (server.announced_text("/restaurant_id"), server.announcement["order"].clone());
    let note = "🍜\n\u{1f469}\u{200d}\u{1f373} \"'\\é".repeat(50);
    order["lines"][0]["note"] = json!(note);
    let placed = block_on(async {
        let client = server.client("customer");
        let path = format!("/v1/restaurants/{restaurant}/orders");
        client.post(&path).idempotency_key("long-note").json(&order).send().await
    });
    let before = server.announcement.clone();
    let placed = placed.unwrap_or_else(|error| panic!("{error:?}")).body;
    server.stop();
    moved.succeeds();
    let server = Server::start_without_demo(&before, moved.data(), &["--database", &moved.url]);
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    let read = block_on(async { server.client("customer").get(&path).send().await.unwrap().body });
    assert_eq!(read, placed);
    server.stop();
    let report = run(moved.data(), &["audit", "--database", &moved.url]);
    assert!(report.status.success(), "{report:?}");
}
