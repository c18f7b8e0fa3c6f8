//! Tests of standbys, power failures and restores.

#![expect(clippy::unwrap_used, reason = "a failure ends the test")]

use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};

fn count(cluster: &Cluster) -> String {
    cluster.execute("postgres", "SELECT count(*) FROM kept").unwrap()
}

/// A synchronous standby has every committed row when the primary dies, and becomes the primary when it is
/// promoted. A URL of both clusters leads to the one that accepts writes.
#[test]
fn a_synchronous_standby_takes_over() {
    let options = ClusterOptions::default().with_tcp();
    let primary = Cluster::start(&options).unwrap();
    primary.execute("postgres", "CREATE TABLE kept (x int)").unwrap();
    let standby = primary.start_standby("second", &options).unwrap();
    primary.set("synchronous_standby_names", "ANY 1 (second)").unwrap();
    primary.wait_until_synchronous("second").unwrap();
    assert!(standby.is_in_recovery().unwrap());
    assert!(!primary.is_in_recovery().unwrap());
    assert!(standby.execute("postgres", "INSERT INTO kept VALUES (0)").is_err());

    primary.execute("postgres", "INSERT INTO kept SELECT generate_series(1, 10)").unwrap();
    primary.kill().unwrap();
    standby.promote().unwrap();
    assert_eq!(count(&standby), "10");
    standby.execute("postgres", "INSERT INTO kept VALUES (11)").unwrap();
    assert!(!standby.is_in_recovery().unwrap());

    let url = Cluster::url_of_primary(&[&primary, &standby], "postgres");
    assert!(url.contains(&format!("127.0.0.1:{},127.0.0.1:{}/postgres?", primary.port(), standby.port())));
}

/// A standby that was stopped catches up, because its replication slot has kept the WAL.
#[test]
fn a_standby_that_was_away_catches_up() {
    let primary = Cluster::start(&ClusterOptions::default()).unwrap();
    primary.execute("postgres", "CREATE TABLE kept (x int)").unwrap();
    let standby = primary.start_standby("second", &ClusterOptions::default()).unwrap();
    standby.stop(StopMode::Fast).unwrap();
    for _ in 0..5 {
        primary.execute("postgres", "INSERT INTO kept SELECT generate_series(1, 100)").unwrap();
        // Ends a WAL segment, which the next checkpoint removes if no standby needs it.
        primary.execute("postgres", "SELECT pg_switch_wal()").unwrap();
        primary.execute("postgres", "CHECKPOINT").unwrap();
    }
    standby.restart().unwrap();
    primary.set("synchronous_standby_names", "second").unwrap();
    primary.wait_until_synchronous("second").unwrap();
    // This commit waits until the standby has applied it, and so everything before it.
    primary
        .execute("postgres", "SET synchronous_commit = remote_apply; INSERT INTO kept VALUES (0)")
        .unwrap();
    assert_eq!(count(&standby), "501");
}

/// A server whose processes are all killed has not shut down, and recovers when it is started again.
#[test]
fn a_killed_server_recovers() {
    let cluster = Cluster::start(&ClusterOptions::default().durable()).unwrap();
    cluster.execute("postgres", "CREATE TABLE kept AS SELECT 1 AS x").unwrap();
    cluster.kill().unwrap();
    assert!(cluster.execute("postgres", "SELECT 1").is_err());
    assert!(!cluster.log().contains("database system is shut down"));
    // No process is left to kill.
    cluster.kill().unwrap();
    cluster.restart().unwrap();
    assert!(cluster.log().contains("database system was not properly shut down"), "{}", cluster.log());
    assert_eq!(count(&cluster), "1");
}

/// A cluster restored to a point in time has what was committed before that time and nothing committed after
/// it, although the original data directory is gone. The restored cluster accepts writes.
#[test]
fn a_cluster_is_restored_to_a_point_in_time() {
    let cluster = Cluster::start(&ClusterOptions::default().with_archive()).unwrap();
    cluster.execute("postgres", "CREATE TABLE kept AS SELECT 1 AS x").unwrap();
    let backup = cluster.base_backup("first").unwrap();
    cluster.execute("postgres", "INSERT INTO kept VALUES (2)").unwrap();
    let moment = cluster.execute("postgres", "SELECT clock_timestamp()").unwrap();
    cluster.execute("postgres", "DELETE FROM kept").unwrap();
    cluster.archive_all().unwrap();
    cluster.kill().unwrap();
    std::fs::remove_dir_all(cluster.data_directory()).unwrap();

    let restored = cluster.restore(&backup, &moment, &ClusterOptions::default()).unwrap();
    assert_eq!(count(&restored), "2");
    restored.execute("postgres", "INSERT INTO kept VALUES (3)").unwrap();
    assert!(restored.size_of(&restored.data_directory()).unwrap() > 1_000_000);
}

/// A restore to a time that the archive does not reach fails; it does not restore to an earlier time.
#[test]
fn a_moment_beyond_the_archive_is_refused() {
    let cluster = Cluster::start(&ClusterOptions::default().with_archive()).unwrap();
    let backup = cluster.base_backup("first").unwrap();
    cluster.archive_all().unwrap();
    let moment = cluster.execute("postgres", "SELECT clock_timestamp() + interval '1 hour'").unwrap();
    let error = cluster.restore(&backup, &moment, &ClusterOptions::default()).unwrap_err().to_string();
    assert!(error.contains("recovery ended before configured recovery target was reached"), "{error}");
}

/// Standbys and backups leave nothing behind, in whatever order the clusters are dropped.
#[test]
fn standbys_and_backups_are_removed_with_their_clusters() {
    let primary = Cluster::start(&ClusterOptions::default().with_archive()).unwrap();
    let standby = primary.start_standby("second", &ClusterOptions::default()).unwrap();
    primary.base_backup("first").unwrap();
    let directories = [primary.data_directory(), standby.data_directory()];
    let directories = directories.map(|data| data.parent().unwrap().to_owned());
    assert!(directories.iter().all(|directory| directory.exists()));
    drop(primary);
    drop(standby);
    assert!(directories.iter().all(|directory| !directory.exists()), "{directories:?}");
}
