//! Tests of a cluster's start, crash and removal.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};

/// Maximum time until another process has removed a directory.
const PATIENCE: Duration = Duration::from_secs(20);

/// Interval at which a test looks for the directory.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

fn directory_of(cluster: &Cluster) -> String {
    cluster.socket().parent().map(|directory| directory.display().to_string()).unwrap_or_default()
}

/// Committed data is still there after a crash of the server.
#[test]
fn a_cluster_survives_a_crash() {
    let cluster = Cluster::start(&ClusterOptions::default().durable().with_tcp()).unwrap();
    cluster.execute("postgres", "CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
    cluster.stop(StopMode::Immediate).unwrap();
    assert!(cluster.execute("postgres", "SELECT 1").is_err());
    cluster.restart().unwrap();
    assert_eq!(cluster.execute("postgres", "SELECT answer FROM kept").unwrap(), "42");
    assert_eq!(cluster.execute("postgres", "SHOW fsync").unwrap(), "on");
    cluster.stop(StopMode::Fast).unwrap();
}

/// Databases created from one template have its content and share nothing else.
#[test]
fn databases_are_copies_of_a_template_that_is_prepared_once() {
    let cluster = Cluster::shared().unwrap();
    let mut prepared = 0;
    for _ in 0..3 {
        let url = cluster
            .database_from("prepared", |template| {
                assert!(template.contains("/prepared"));
                cluster.execute("prepared", "CREATE TABLE t AS SELECT 1 AS x").unwrap();
                prepared += 1;
            })
            .unwrap();
        let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
        assert_eq!(cluster.execute(name, "SELECT count(*) FROM t").unwrap(), "1");
        cluster.execute(name, "DELETE FROM t").unwrap();
    }
    assert_eq!(prepared, 1);
}

/// A dropped cluster leaves nothing behind.
#[test]
fn a_dropped_cluster_is_removed() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let directory = directory_of(&cluster);
    assert!(Path::new(&directory).exists());
    drop(cluster);
    assert!(!Path::new(&directory).exists());
}

/// Environment variable that is set in the process that the test kills.
const VICTIM: &str = "DABBA_PG_CLUSTER_VICTIM";

/// Helper process of the next test, which kills it. Does nothing in a normal run.
#[test]
fn victim() {
    if env::var_os(VICTIM).is_some() {
        let cluster = Cluster::shared().unwrap();
        println!("\ndirectory={}", directory_of(cluster));
        loop {
            std::thread::park();
        }
    }
}

/// The cluster of a killed process leaves nothing behind.
#[test]
fn the_cluster_of_a_killed_process_is_removed() {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["victim", "--exact", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let directory =
        lines.find_map(|line| Some(line.unwrap().strip_prefix("directory=")?.to_owned())).unwrap();
    assert!(Path::new(&directory).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while Path::new(&directory).exists() {
        assert!(begun.elapsed() < PATIENCE, "{directory} is not removed");
        std::thread::sleep(POLL_INTERVAL);
    }
}
