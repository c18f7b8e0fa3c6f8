//! Backups of the embedded database, and their restores.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::watch;

use super::support::{Server, StopWhenDropped, becomes, block_on, dabba, failure, stdout};

/// Number of orders before a backup.
const ORDERS: usize = 60;

/// Returns a data directory with this many orders, and the announcement of its server.
fn data_with_orders(count: usize) -> (tempfile::TempDir, Value) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    block_on(async {
        for number in 0..count {
            server.place(&format!("order-{number}")).await;
        }
    });
    let announcement = server.announcement.clone();
    server.stop();
    (directory, announcement)
}

/// Returns the number of audited orders. The audit must find no breach.
fn audited(data: &Path) -> u64 {
    let report = stdout(data, &["audit", "--json", "--data", data.to_str().unwrap()]);
    serde_json::from_str::<Value>(&report).unwrap()["orders"].as_u64().unwrap()
}

fn back_up(data: &Path, to: &Path) -> String {
    stdout(data, &["backup", to.to_str().unwrap(), "--data", data.to_str().unwrap()])
}

fn restore(data: &Path, from: &Path, more: &[&str]) -> String {
    let fixed = ["restore", from.to_str().unwrap(), "--data", data.to_str().unwrap()];
    stdout(data, &[&fixed[..], more].concat())
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    failure(data, &[arguments, &["--data", data.to_str().unwrap()]].concat())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Proves that a backup under load contains every order acknowledged before it began, and is complete: restored elsewhere, it
/// passes the audit, replays retries under their keys, and accepts new orders. No order fails during the backup, and only the
/// owner can read the file.
#[test]
fn a_backup_under_load_is_restored_completely() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let server = Server::start(&data, &[]);
    let (stop, (placing, placed)) = (AtomicBool::new(false), watch::channel(Vec::new()));
    let file = directory.path().join("backup.db");
    let before = thread::scope(|scope| {
        let (server, stop) = (&server, &stop);
        let _stopping = StopWhenDropped(stop);
        // The channel closes when this thread ends. Then a test that waits for more orders fails at once.
        scope.spawn(move || {
            block_on(async {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("order-{number}");
                    let id = server.place_for_id(&key).await;
                    placing.send_modify(|placed| placed.push((key, id)));
                }
            });
        });
        let reaches = |wanted: usize| {
            assert!(becomes(&placed, |placed| placed.len() >= wanted), "an order failed or is not answered");
        };
        reaches(ORDERS);
        let before = placed.borrow().clone();
        let output = back_up(&data, &file);
        assert!(
            output.contains("signing-key") && output.contains("secrets-key") && output.contains("orders"),
            "{output}"
        );
        let more = placed.borrow().len() + ORDERS;
        reaches(more);
        before
    });
    let announcement = server.announcement.clone();
    server.stop();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let restored = directory.path().join("restored");
    let shown = restore_new(&restored, &file, &data);
    assert!(shown.contains("dabba audit"), "{shown}");
    assert!(audited(&restored) >= before.len() as u64);
    let server = Server::start_without_demo(&announcement, &restored, &[]);
    block_on(async {
        for (key, id) in &before {
            assert_eq!(server.place_for_id(key).await, *id);
        }
        server.place("new").await;
    });
    server.stop();
}

/// Restores into a new directory, with the signing key of another directory.
fn restore_new(data: &Path, file: &Path, key_of: &Path) -> String {
    let fixed = ["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let shown = stdout(Path::new("/"), &fixed);
    fs::copy(key_of.join("signing-key"), data.join("signing-key")).unwrap();
    shown
}

/// Proves that a restore refuses to replace a database that is in use or not empty, keeps the old database with `--replace`, and
/// that the old database can be restored again.
#[test]
fn a_restore_keeps_what_it_replaces() {
    let (directory, announcement) = data_with_orders(3);
    let data = directory.path();
    let file = data.join("backup.db");
    back_up(data, &file);
    let server = Server::start_without_demo(&announcement, data, &[]);
    block_on(server.place("later"));
    let text = refused(data, &["restore", file.to_str().unwrap(), "--replace"]);
    assert!(text.contains("stop the server"), "{text}");
    server.stop();
    let text = refused(data, &["restore", file.to_str().unwrap()]);
    assert!(text.contains("--replace"), "{text}");
    assert_eq!(audited(data), 4);

    let shown = restore(data, &file, &["--replace"]);
    assert_eq!(audited(data), 3);
    let kept = names(data).into_iter().find(|name| name.starts_with("dabba.db.before-")).unwrap();
    assert!(shown.contains(&kept), "{shown}");
    let kept: PathBuf = data.join(kept);
    restore(data, &kept, &["--replace"]);
    assert_eq!(audited(data), 4);

    // An empty database may be replaced.
    let empty = tempfile::tempdir().unwrap();
    stdout(empty.path(), &["migrate", "--data", empty.path().to_str().unwrap()]);
    restore(empty.path(), &file, &[]);
    assert_eq!(audited(empty.path()), 3);
}

/// Proves that a backup never overwrites a file, and that an incomplete or foreign backup is refused with the reason before
/// anything changes.
#[test]
fn a_file_that_is_no_backup_is_refused() {
    let (directory, _) = data_with_orders(ORDERS);
    let data = directory.path();
    let file = data.join("backup.db");
    back_up(data, &file);
    let content = fs::read(&file).unwrap();
    let text = refused(data, &["backup", file.to_str().unwrap()]);
    assert!(text.contains("already exists"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), content);
    let nowhere = data.join("nowhere/backup.db");
    assert!(refused(data, &["backup", nowhere.to_str().unwrap()]).contains("nowhere"));

    let bad = data.join("bad.db");
    let sqlite = |sql: &str| {
        let _ = fs::remove_file(&bad);
        rusqlite::Connection::open(&bad).unwrap().execute_batch(sql).unwrap();
    };
    let attempt = |part: &str| {
        let text = refused(data, &["restore", bad.to_str().unwrap(), "--replace"]);
        assert!(text.contains(part), "{part}: {text}");
    };
    attempt("cannot be read");
    fs::write(&bad, "").unwrap();
    attempt("is empty");
    fs::write(&bad, "It was a dark and stormy night. ".repeat(400)).unwrap();
    attempt("is not a Dabba database");
    sqlite("CREATE TABLE orders (id)");
    attempt("is not a Dabba database");
    let mut damaged = content.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0xa5);
    fs::write(&bad, damaged).unwrap();
    attempt("bad.db");
    fs::write(&bad, &content).unwrap();
    rusqlite::Connection::open(&bad)
        .unwrap()
        .execute_batch("UPDATE refinery_schema_history SET version = 1000 WHERE version = 7")
        .unwrap();
    attempt("use a newer one");
    fs::write(&bad, &content).unwrap();
    fs::write(data.join("bad.db-wal"), "frames").unwrap();
    attempt("dabba backup");

    assert_eq!(audited(data), ORDERS as u64);
    assert!(names(data).iter().all(|name| !name.contains("before") && !name.contains("restoring")));
    for command in ["backup", "restore"] {
        let arguments = [command, "x.db", "--database", "postgresql://nobody@127.0.0.1:1/none"];
        let text = failure(data, &arguments);
        assert!(text.contains("docs/guides/operator/backup.md"), "{text}");
    }
}

/// Starts a restore over a database, and kills it after this time, unless it has ended before.
fn kill_restore(data: &Path, file: &Path, after: Duration) {
    let arguments = ["restore", file.to_str().unwrap(), "--replace", "--data", data.to_str().unwrap()];
    let mut child = dabba(data, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::park_timeout(after);
    let _ = child.kill();
    child.wait().unwrap();
}

/// Proves that a restore killed at any moment leaves either the old or the new database, complete, and can be repeated.
#[test]
fn a_killed_restore_leaves_one_complete_database() {
    let (directory, _) = data_with_orders(2);
    let (other, _) = data_with_orders(5);
    let data = directory.path();
    let file = other.path().join("backup.db");
    back_up(other.path(), &file);
    let old = data.join("old.db");
    back_up(data, &old);
    for round in 0..12 {
        kill_restore(data, &file, Duration::from_millis(4 * round));
        let orders = audited(data);
        assert!(orders == 2 || orders == 5, "{orders} after round {round}");
        restore(data, &old, &["--replace"]);
        assert_eq!(audited(data), 2);
        for name in names(data).into_iter().filter(|name| name.starts_with("dabba.db.before-")) {
            fs::remove_file(data.join(name)).unwrap();
        }
    }
    restore(data, &file, &["--replace"]);
    assert_eq!(audited(data), 5);
    assert!(names(data).iter().all(|name| !name.contains("restoring")));
}

/// Proves that a restore over a database whose server was killed, so that some orders are only in its write-ahead log, loses none
/// of them, whenever the restore itself is killed: either the old database with all its orders or the new database is in place,
/// and no other state is served. The kept database can be restored, and the log of another file is neither applied nor lost.
#[test]
fn a_restore_over_a_killed_server_loses_nothing() {
    let killed = tempfile::tempdir().unwrap();
    let server = Server::start(killed.path(), &[]);
    block_on(async {
        for number in 0..3 {
            server.place(&format!("order-{number}")).await;
        }
    });
    server.kill();
    assert!(fs::metadata(killed.path().join("dabba.db-wal")).unwrap().len() > 0);
    let (other, _) = data_with_orders(5);
    let file = other.path().join("backup.db");
    back_up(other.path(), &file);
    for round in 0..12 {
        let data = tempfile::tempdir().unwrap();
        let data = data.path();
        for name in ["dabba.db", "dabba.db-wal"] {
            fs::copy(killed.path().join(name), data.join(name)).unwrap();
        }
        kill_restore(data, &file, Duration::from_millis(4 * round));
        let orders = audited(data);
        assert!(orders == 3 || orders == 5, "{orders} after round {round}");
        restore(data, &file, &["--replace"]);
        assert_eq!(audited(data), 5);
        let holds = |name: &String| {
            let one = tempfile::tempdir().unwrap();
            restore(one.path(), &data.join(name), &[]);
            audited(one.path())
        };
        let kept = names(data).into_iter().filter(|name| name.starts_with("dabba.db.before-"));
        assert!(kept.map(|name| holds(&name)).any(|orders| orders == 3), "round {round}");
    }
    // The killed server's log is beside another file: every command refuses it, and a restore keeps it.
    fs::remove_file(killed.path().join("dabba.db")).unwrap();
    fs::copy(&file, killed.path().join("dabba.db")).unwrap();
    let log = fs::read(killed.path().join("dabba.db-wal")).unwrap();
    let aside = killed.path().join("aside.db");
    for arguments in [&["backup", aside.to_str().unwrap()][..], &["audit"], &["migrate"], &["serve"]] {
        let text = refused(killed.path(), arguments);
        assert!(text.contains("put the original file back"), "{arguments:?}: {text}");
    }
    assert_eq!(fs::read(killed.path().join("dabba.db-wal")).unwrap(), log);
    assert!(refused(killed.path(), &["restore", file.to_str().unwrap()]).contains("--replace"));
    restore(killed.path(), &file, &["--replace"]);
    assert_eq!(audited(killed.path()), 5);
    let kept = names(killed.path()).into_iter().find(|name| name.ends_with("-foreign-wal")).unwrap();
    assert_eq!(fs::read(killed.path().join(kept)).unwrap(), log);
}
