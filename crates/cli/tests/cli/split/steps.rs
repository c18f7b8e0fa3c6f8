//! Splits that are checked, refused, repeated, interrupted or followed by a restore, without load.

use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_testkit::eventually_blocking;
use tempfile::TempDir;

use super::RANGES;
use crate::{
    postgres::{a_restaurant_in_each, order},
    support::{Server, block_on, failure, stdout},
};

/// Proves that a split whose replica does not follow is refused or undone, and that the shard serves all its buckets as before.
#[test]
fn an_impossible_split_changes_nothing() {
    let primary = Cluster::start(&ClusterOptions::default()).unwrap();
    let other = Cluster::start(&ClusterOptions::default()).unwrap();
    let database = primary.create_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let urls = [primary.url(&database), other.url("postgres")];
    let standby = primary.start_standby("south", &patient()).unwrap();
    stdout(data, &["migrate", "--database", &urls[0]]);
    let attempt = |shard: &str, at: &str, url: &str| {
        let fixed = ["shards", "split", "--database", &urls[0], "--shard", shard, "--at", at];
        let more = ["--new-name", "south", "--new-url", url, "--apply", "--write", "new.toml"];
        failure(data, &[&fixed[..], &more[..]].concat())
    };
    assert!(attempt("north", "2048", &urls[1]).contains("\"north\""));
    assert!(attempt("main", "0", &urls[1]).contains("one part would be empty"));
    assert!(attempt("main", "5000", &urls[1]).contains("0 to 4095"));
    assert!(attempt("main", "2048", &urls[1]).contains("not a physical replica"));
    assert!(attempt("main", "2048", &urls[0]).contains("the shard's own"));
    let replica = standby.url(&database);
    standby.execute("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    assert!(attempt("main", "2048", &replica).contains("pg_wal_replay_resume"));
    standby.execute("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    standby.set("recovery_min_apply_delay", "1min").unwrap();
    assert!(attempt("main", "2048", &replica).contains("recovery_min_apply_delay"));
    standby.set("recovery_min_apply_delay", "0").unwrap();
    // The command gives up while the reader still delays the replay.
    std::thread::scope(|scope| {
        let holding = Holding::start(scope, &standby, &database);
        let text = attempt("main", "2048", &replica);
        assert!(text.contains("taken the buckets back"), "{text}");
        holding.end();
    });
    assert!(!data.join("new.toml").exists());
    let server = Server::start(data, &["--database", &urls[0]]);
    block_on(a_restaurant_in_each(&server, &RANGES));
}

/// Options of a standby whose readers can delay the replay.
fn patient() -> ClusterOptions {
    ClusterOptions::default().with_setting("max_standby_streaming_delay", "-1")
}

/// A reader of a standby that delays the replay of a change of buckets.
struct Holding<'a> {
    standby: &'a Cluster,
    database: &'a str,
}

impl<'a> Holding<'a> {
    const QUERY: &'static str = "BEGIN; SELECT FROM shard; SELECT pg_sleep(120)";
    const END: &'static str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE query LIKE 'BEGIN; SELECT FROM shard;%' AND pid <> pg_backend_pid()";

    fn start<'scope>(
        scope: &'scope std::thread::Scope<'scope, 'a>,
        standby: &'a Cluster,
        database: &'a str,
    ) -> Self {
        // The test terminates the query, so its result does not matter.
        scope.spawn(move || drop(standby.execute(database, Self::QUERY)));
        let holding = Self { standby, database };
        let reads =
            "SELECT count(*) FROM pg_locks WHERE relation = 'shard'::regclass AND pid <> pg_backend_pid()";
        standby.wait_for_result(database, reads, "1").unwrap();
        holding
    }

    /// Ends the reader, which must not have ended before.
    fn end(self) {
        assert_eq!(self.standby.execute(self.database, Self::END).unwrap(), "t");
    }
}

/// Ends the reader of a failed test, whose `thread::scope` waits for it.
impl Drop for Holding<'_> {
    fn drop(&mut self) {
        // The reader may have ended already.
        let _ = self.standby.execute(self.database, Self::END);
    }
}

/// A shard with a replica, and the command that splits it.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    database: String,
    urls: [String; 2],
    directory: TempDir,
}

impl Pair {
    /// Starts both, and migrates the database.
    fn start(primary: &ClusterOptions, standby: impl FnOnce(&Cluster) -> ClusterOptions) -> Self {
        let primary = Cluster::start(primary).unwrap();
        let database = primary.create_database().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let url = primary.url(&database);
        stdout(directory.path(), &["migrate", "--database", &url]);
        let standby = primary.start_standby("south", &standby(&primary)).unwrap();
        // A command before that would also refuse the replica because it does not stream.
        eventually_blocking("the replica streams", || {
            let states = primary.execute("postgres", "SELECT state FROM pg_stat_replication").unwrap();
            if states == "streaming" { Ok(()) } else { Err(states) }
        });
        let urls = [url, standby.url(&database)];
        Self { primary, standby, database, urls, directory }
    }

    fn arguments<'a>(urls: [&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
        let fixed = ["shards", "split", "--database", urls[0], "--shard", "main", "--at", "2048"];
        [&fixed[..], &["--new-name", "south", "--new-url", urls[1]], more].concat()
    }

    /// Returns the refusal of the command, which must be the same with `--dry-run` and with `--apply`. Nothing may change.
    fn refusal(&self, urls: [&str; 2]) -> String {
        let refused = |more: &[&str]| failure(self.directory.path(), &Self::arguments(urls, more));
        let text = refused(&["--dry-run"]);
        assert_eq!(refused(&["--apply", "--write", "new.toml"]), text);
        assert!(!self.directory.path().join("new.toml").exists());
        let held =
            self.primary.execute(&self.database, "SELECT first_bucket, last_bucket FROM shard").unwrap();
        assert_eq!(held, "0|4095");
        text
    }

    fn split(&self, more: &[&str]) -> String {
        stdout(self.directory.path(), &Self::arguments([&self.urls[0], &self.urls[1]], more))
    }
}

/// Proves that the dry run finds every missing right and every danger that would stop the split halfway: the right to promote the
/// replica, the right to change the buckets, an unwritable file, and a replica for which commits wait.
#[test]
fn a_dry_run_checks_all_requirements_of_the_split() {
    let pair = Pair::start(&ClusterOptions::default(), |_| ClusterOptions::default());
    let database = pair.database.as_str();
    pair.primary
        .execute(
            database,
            "CREATE ROLE operator LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO operator",
        )
        .unwrap();
    let as_operator = |url: &String| url.replacen(&format!("://{}@", pair.primary.user()), "://operator@", 1);
    let [source, target] = [as_operator(&pair.urls[0]), as_operator(&pair.urls[1])];
    assert_ne!(source, pair.urls[0]);
    // The replica replays the grants a moment later.
    let wait_for_refusal = |urls: [&str; 2], part: &str| {
        eventually_blocking("the split is refused", || {
            let text = pair.refusal(urls);
            if text.contains(part) { Ok(()) } else { Err(text) }
        });
    };
    wait_for_refusal([&source, &pair.urls[1]], "the user of the shard's URL may not change the table shard");
    wait_for_refusal(
        [&pair.urls[0], &target],
        "the user of the new shard's URL may not change the table shard",
    );
    let all = pair.refusal([&source, &target]);
    for problem in
        ["of the shard's URL may not change", "of the new shard's URL may not change", "may not promote it"]
    {
        assert!(all.contains(problem), "every problem is listed: {all}");
    }
    pair.primary.execute(database, "GRANT UPDATE ON shard TO operator").unwrap();
    wait_for_refusal([&source, &target], "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer)");
    pair.primary
        .execute(database, "GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO operator")
        .unwrap();
    pair.primary.set("synchronous_standby_names", "south").unwrap();
    pair.primary.wait_until_synchronous("south").unwrap();
    assert!(pair.refusal([&pair.urls[0], &pair.urls[1]]).contains("commits wait for the replica"));
    // Without the role pg_monitor, this is not visible.
    assert!(pair.refusal([&source, &target]).contains("--replica-is-not-synchronous"));
    let stated = ["--dry-run", "--replica-is-not-synchronous"];
    let text = stdout(pair.directory.path(), &Pair::arguments([&source, &target], &stated));
    assert!(text.contains("Nothing was changed"), "{text}");
    pair.primary.set("synchronous_standby_names", "").unwrap();
    let nowhere = pair.directory.path().join("nowhere/new.toml");
    let more = ["--dry-run", "--write", nowhere.to_str().unwrap()];
    let text = failure(pair.directory.path(), &Pair::arguments([&pair.urls[0], &pair.urls[1]], &more));
    assert!(text.contains("cannot be written") && text.contains("nowhere"), "{text}");
    assert!(pair.split(&["--dry-run"]).contains("Nothing was changed"));
}

/// Proves that only one command works on a shard at a time: while a split waits for the replica, a second split and a purge are
/// refused, and the first split is not affected.
#[test]
fn a_second_command_is_refused_while_one_splits() {
    let pair = Pair::start(&ClusterOptions::default(), |_| patient());
    let database = pair.database.as_str();
    std::thread::scope(|scope| {
        let holding = Holding::start(scope, &pair.standby, database);
        let first = scope.spawn(|| pair.split(&["--apply", "--write", "new.toml"]));
        pair.primary.wait_for_result(database, "SELECT last_bucket FROM shard", "2047").unwrap();
        for more in [&["--apply", "--write", "other.toml"][..], &["--dry-run"]] {
            let arguments = Pair::arguments([&pair.urls[0], &pair.urls[1]], more);
            let text = failure(pair.directory.path(), &arguments);
            assert!(text.contains("another `dabba shards` command is working"), "{text}");
        }
        let held = pair.primary.execute(database, "SELECT last_bucket FROM shard").unwrap();
        assert_eq!(held, "2047", "the second command must take nothing back");
        holding.end();
        first.join().unwrap();
    });
    let held = pair.standby.execute(database, "SELECT name, first_bucket FROM shard").unwrap();
    assert_eq!(held, "south|2048");
    let holder =
        pair.primary.execute(database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").unwrap();
    assert_eq!(holder, "0", "the lock must end with the command");
}

/// Proves that a replica that would archive to its original's archive is refused, and that after a split with separate archives
/// both the original and the new shard are restored from their backups as documented: to a moment after the split, with their own
/// orders.
#[test]
fn both_databases_are_restored_after_a_split() {
    let shared = Pair::start(&ClusterOptions::default().with_archive(), |primary| {
        let command = primary.execute("postgres", "SHOW archive_command").unwrap();
        ClusterOptions::default().with_setting("archive_mode", "on").with_setting("archive_command", &command)
    });
    let text = shared.refusal([&shared.urls[0], &shared.urls[1]]);
    assert!(text.contains("would archive its log where the shard does"), "{text}");
    assert!(shared.split(&["--dry-run", "--archives-are-separate"]).contains("Nothing was changed"));
    drop(shared);

    let pair =
        Pair::start(&ClusterOptions::default().with_archive(), |_| ClusterOptions::default().with_archive());
    let data = pair.directory.path();
    let server = Server::start(data, &["--database", &pair.urls[0]]);
    let restaurants = block_on(a_restaurant_in_each(&server, &RANGES));
    let place = |server: &Server, restaurant: &str, key: &str| {
        let path = format!("/v1/restaurants/{restaurant}/orders");
        let customer = server.client("customer");
        block_on(async { customer.post(&path).idempotency_key(key).json(&order()).send().await.unwrap() });
    };
    for restaurant in &restaurants {
        place(&server, restaurant, "before");
    }
    let before = server.announcement.clone();
    server.stop();
    let old_backup = pair.primary.base_backup("before").unwrap();
    pair.split(&["--apply", "--write", "new.toml"]);
    let new_backup = pair.standby.base_backup("after").unwrap();
    let map = data.join("new.toml");
    let server = Server::start_without_demo(&before, data, &["--shards", map.to_str().unwrap()]);
    for restaurant in &restaurants {
        place(&server, restaurant, "after");
    }
    server.stop();
    for (cluster, backup, restaurant) in
        [(&pair.primary, &old_backup, &restaurants[0]), (&pair.standby, &new_backup, &restaurants[1])]
    {
        let moment = cluster.execute("postgres", "SELECT clock_timestamp()").unwrap();
        // A later transaction is needed, otherwise the log does not reach that moment.
        cluster.execute("postgres", "SELECT pg_current_xact_id()").unwrap();
        cluster.archive_all().unwrap();
        let restored = cluster.restore(backup, &moment, &ClusterOptions::default()).unwrap();
        let count = format!("SELECT count(*) FROM orders WHERE restaurant_id = '{restaurant}'");
        assert_eq!(restored.execute(&pair.database, &count).unwrap(), "2");
    }
}

/// Proves that buckets are given to only one database, and once: after a split, no other replica, under another or the same name,
/// takes them over, and the shard does not take them back.
#[test]
fn buckets_are_given_away_only_once() {
    let pair = Pair::start(&ClusterOptions::default(), |_| ClusterOptions::default());
    let other = pair.primary.start_standby("other", &ClusterOptions::default()).unwrap();
    let other_url = other.url(&pair.database);
    pair.split(&["--apply", "--write", "new.toml"]);
    for name in ["other", "south"] {
        for more in [&["--dry-run"][..], &["--apply", "--write", "other.toml"]] {
            let fixed = ["shards", "split", "--database", &pair.urls[0], "--shard", "main", "--at", "2048"];
            let arguments = [&fixed[..], &["--new-name", name, "--new-url", &other_url], more].concat();
            let text = failure(pair.directory.path(), &arguments);
            assert!(text.contains("already given the buckets 2048-4095 to a new shard"), "{text}");
        }
    }
    assert!(other.is_in_recovery().unwrap());
    let text =
        failure(pair.directory.path(), &Pair::arguments([&pair.urls[0], &pair.urls[1]], &["--take-back"]));
    assert!(text.contains("the split is complete"), "{text}");
    let held = |cluster: &Cluster| {
        cluster.execute(&pair.database, "SELECT name, first_bucket, last_bucket FROM shard").unwrap()
    };
    assert_eq!(
        (held(&pair.primary).as_str(), held(&pair.standby).as_str()),
        ("main|0|2047", "south|2048|4095")
    );
    // A repeated command finds that the split is complete.
    assert!(pair.split(&["--dry-run"]).contains("The split is complete"));

    // As after a restore of the shard to a moment before the split: the shard gives the buckets to the same database again.
    pair.primary.execute(&pair.database, "UPDATE shard SET last_bucket = 4095").unwrap();
    let text =
        failure(pair.directory.path(), &Pair::arguments([&pair.urls[0], &pair.urls[1]], &["--take-back"]));
    assert!(text.contains("nothing to take back"), "{text}");
    assert!(pair.split(&["--dry-run"]).contains("restored to a moment before"));
    let applied = pair.split(&["--apply", "--write", "new.toml"]);
    assert!(applied.contains("held the buckets") && !applied.contains("503"), "{applied}");
    assert_eq!(held(&pair.primary), "main|0|2047");
    assert!(pair.split(&["--dry-run"]).contains("The split is complete"));
}

/// Proves that only the same replica can complete an interrupted split, and that the buckets can be taken back if that replica is
/// lost; a replica of another shard is refused before anything happens.
#[test]
fn an_interrupted_split_can_be_completed_or_taken_back() {
    let pair = Pair::start(&ClusterOptions::default(), |_| ClusterOptions::default());
    let database = pair.database.as_str();
    let halfway = "UPDATE shard SET last_bucket = 2047, giving_to = 'south'";
    pair.primary.execute(database, halfway).unwrap();
    let attempt = |url: &str, name: &str, more: &[&str]| {
        let fixed = ["shards", "split", "--database", &pair.urls[0], "--shard", "main", "--at", "2048"];
        failure(pair.directory.path(), &[&fixed[..], &["--new-name", name, "--new-url", url], more].concat())
    };
    let apply = ["--apply", "--write", "new.toml"];
    let text = attempt(&pair.urls[0], "south", &apply);
    assert!(text.contains("the shard's own"), "{text}");
    let text = attempt(&pair.urls[1], "west", &apply);
    assert!(text.contains("is giving the buckets 2048-4095 to \"south\""), "{text}");
    // The machine is lost, after a manual promotion.
    pair.standby.promote().unwrap();
    pair.standby.stop(dabba_pg_cluster::StopMode::Fast).unwrap();
    attempt(&pair.urls[1], "south", &apply);
    let back = pair.split(&["--take-back"]);
    assert!(back.contains("holds the buckets 0-4095 again"), "{back}");
    // The machine comes back, and cannot be used.
    pair.standby.restart().unwrap();
    let text = attempt(&pair.urls[1], "south", &apply);
    assert!(text.contains("no replica any more"), "{text}");

    let replica = pair.primary.start_standby("north", &ClusterOptions::default()).unwrap();
    let north = replica.url(database);
    let fixed = ["shards", "split", "--database", &pair.urls[0], "--shard", "main", "--at", "2048"];
    let split =
        [&fixed[..], &["--new-name", "north", "--new-url", &north], &["--apply", "--write", "map.toml"]]
            .concat();
    stdout(pair.directory.path(), &split);
    let stranger = replica.start_standby("stranger", &ClusterOptions::default()).unwrap();
    let map = pair.directory.path().join("map.toml");
    let fixed = ["shards", "split", "--shards", map.to_str().unwrap(), "--shard", "main", "--at", "1024"];
    let stranger_url = stranger.url(database);
    let split = [&fixed[..], &["--new-name", "third", "--new-url", &stranger_url], &apply].concat();
    let text = failure(pair.directory.path(), &split);
    assert!(text.contains("says that it is shard \"north\""), "{text}");
    assert!(stranger.is_in_recovery().unwrap());
}
