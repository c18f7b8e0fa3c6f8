//! Tests of the files on the disk: their durability, their loss, and the lock of one process.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends with a panic")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use dabba_domain::Role;
use dabba_domain::order::TaskQueue;
use dabba_store::{
    AccountStore as _, CatalogueStore as _, Commit, CommitOutcome, FeedCursor, OrderStore as _, Store as _,
    StoreError, TaskStore as _,
    conformance::builders::{World, menu, menu_at, order_of, slug},
};
use dabba_store_sqlite::{MENUS_KEPT, SqliteOptions, SqliteStore};
use tempfile::TempDir;

fn new_database() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    (directory, path)
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &SqliteOptions::default()).unwrap()
}

/// Returns the text with which a database is refused as unavailable.
fn refusal(path: &Path) -> String {
    match SqliteStore::open(path, &SqliteOptions::default()) {
        Err(StoreError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reopened_database_has_everything() {
    let (_directory, path) = new_database();
    let mut world = World::new(101);
    let (restaurant, account) = (world.restaurant(), world.account(Role::Customer));
    let store = open(&path);
    store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    store.set_stock(restaurant.id, &slug("naan"), Some(3)).await.unwrap();
    store.create_account(&account).await.unwrap();
    store.add_member(restaurant.id, account.id).await.unwrap();
    let commit = world.place_taking(restaurant.id, &[("naan", 2)]);
    assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    let feed = store.feed(&FeedCursor::start(), 10).await.unwrap();
    let catalogue = store.catalogue(restaurant.id).await.unwrap();
    store.close().await;

    let store = open(&path);
    let order = order_of(&commit);
    assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
    assert_eq!(store.feed(&FeedCursor::start(), 10).await.unwrap(), feed);
    assert_eq!(store.catalogue(restaurant.id).await.unwrap(), catalogue);
    assert_eq!(store.stock(restaurant.id).await.unwrap()[0].remaining, 1);
    assert_eq!(store.account(account.id).await.unwrap().as_ref(), Some(&account));
    assert_eq!(store.memberships(account.id).await.unwrap(), [restaurant.id]);
    let replayed = CommitOutcome::Replayed { order_id: order.id, version: order.version };
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [replayed]);
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap().len(), 1);
    store.close().await;
}

/// Closing writes the log back into the database, so that a single file can be copied.
#[tokio::test]
async fn a_closed_database_is_one_file() {
    let (directory, path) = new_database();
    let mut world = World::new(102);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, account);
    let store = Arc::new(open(&path));
    store.commit(vec![commit.clone()]).await.unwrap();
    store.close().await;
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let store = open(&copy);
    assert_eq!(store.order(commit.order_id).await.unwrap(), Some(order_of(&commit)));
    store.close().await;
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let (_directory, path) = new_database();
    let store = open(&path);
    let text = refusal(&path);
    assert!(text.contains("another process"), "{text}");
    store.ping().await.unwrap();
    store.close().await;
    open(&path).close().await;
}

#[test]
fn a_missing_database_is_refused_and_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    let text = refusal(&path);
    assert!(text.contains("dabba migrate"), "{text}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    std::fs::write(&path, "It was a dark and stormy night. ".repeat(100)).unwrap();
    for result in
        [SqliteStore::open(&path, &SqliteOptions::default()).map(|_| 0), SqliteStore::migrate(&path)]
    {
        assert!(matches!(result, Err(StoreError::Corrupt(_))), "{result:?}");
    }
}

#[tokio::test]
async fn migrating_again_does_nothing_even_while_the_database_is_served() {
    let (_directory, path) = new_database();
    assert_eq!(SqliteStore::migrate(&path), Ok(0));
    let store = open(&path);
    assert_eq!(SqliteStore::migrate(&path), Ok(0));
    store.close().await;
}

/// Checks the guarantees of the schema for readers with SQL.
#[tokio::test]
async fn the_file_can_be_read_with_sql_and_history_cannot_be_changed() {
    let (_directory, path) = new_database();
    let mut world = World::new(103);
    let (restaurant, account) = (world.restaurant(), world.account_id());
    let store = open(&path);
    store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap();
    for revision in 1..MENUS_KEPT + 5 {
        store.replace_menu(restaurant.id, &menu(&["naan"]), menu_at(revision)).await.unwrap();
    }
    let commit = world.place(restaurant.id, account);
    store.commit(vec![commit]).await.unwrap();
    store.close().await;

    let connection = rusqlite::Connection::open(&path).unwrap();
    let lines: Vec<(i64, String, i64, i64)> = connection
        .prepare("SELECT line, item, quantity, total FROM order_items ORDER BY line")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(lines, [(1, "onion-bhaji".to_owned(), 2, 900), (2, "naan".to_owned(), 1, 250)]);
    let types: String = connection
        .query_row("SELECT group_concat(type ORDER BY sequence) FROM order_events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(types, "placed,confirmed");
    let menus: u32 = connection.query_row("SELECT count(*) FROM menus", [], |row| row.get(0)).unwrap();
    assert_eq!(menus, MENUS_KEPT);
    assert!(connection.execute("UPDATE order_events SET type = 'delivered'", []).is_err());
    assert!(connection.execute("DELETE FROM order_events", []).is_err());
}

/// Proves that no new database replaces a lost one: migrating and opening refuse an empty file, a log without its database, and
/// the database of another program, and do not change them.
#[test]
fn a_lost_database_is_not_replaced_by_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    let refused = |expected: &str| {
        for result in
            [SqliteStore::open(&path, &SqliteOptions::default()).map(|_| 0), SqliteStore::migrate(&path)]
        {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    };
    std::fs::write(&path, "").unwrap();
    refused("empty");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);

    std::fs::remove_file(&path).unwrap();
    let log = directory.path().join("dabba.db-wal");
    std::fs::write(&log, "a log").unwrap();
    refused("its log");
    assert!(!path.exists() && log.exists());

    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere.db"), &path).unwrap();
    refused("symbolic link");
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text)").unwrap();
    refused("not a database of Dabba");
}

/// Proves that a process that dies while it creates a database does not block the next one.
#[test]
fn an_unfinished_new_database_is_created_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    std::fs::write(directory.path().join("dabba.db.new"), "half").unwrap();
    std::fs::write(directory.path().join("dabba.db.new-wal"), "half").unwrap();
    assert!(SqliteStore::migrate(&path).unwrap() > 0);
    let names: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "dabba.db" || name == "dabba.db.lock"), "{names:?}");
}

/// Proves that the lock is on the file and not on its name, also within the process; that a refused attempt drops no lock of
/// `SQLite`; and that everything that opens a database refuses a second name, beside which the log would not be found.
#[tokio::test]
async fn another_name_of_the_file_does_not_open_it_twice() {
    let (directory, path) = new_database();
    let store = open(&path);
    let link = directory.path().join("link.db");
    std::fs::hard_link(&path, &link).unwrap();
    assert!(refusal(&link).contains("2 names (hard links)"));
    assert!(refusal(&path).contains("find -samefile"));
    let read = SqliteStore::back_up(&link, &directory.path().join("backup.db"));
    assert!(read.unwrap_err().to_string().contains("hard links"));
    std::fs::remove_file(&link).unwrap();
    let symbolic = directory.path().join("symbolic.db");
    std::os::unix::fs::symlink(&path, &symbolic).unwrap();
    assert!(refusal(&symbolic).contains("another process"));
    store.ping().await.unwrap();
    store.close().await;
}

/// Returns the commit of a new order of a new customer.
fn placed(world: &mut World) -> Commit {
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    world.place(restaurant, account)
}

/// Proves that a database behind a symbolic link is served, and that a link that is changed to another file is detected.
#[tokio::test]
async fn a_database_behind_a_link_is_checked_too() {
    let (directory, path) = new_database();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut world = World::new(106);
    let store = open(&link);
    let commit = placed(&mut world);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    std::fs::remove_file(&link).unwrap();
    let other = directory.path().join("other.db");
    SqliteStore::migrate(&other).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    assert_lost(&store, &mut world, "the link").await;
    store.close().await;
}

/// Asserts that writes and the readiness check fail. The first write after the loss may have reached the lost file.
async fn assert_lost(store: &SqliteStore, world: &mut World, what: &str) {
    let commit = placed(world);
    let refused = store.commit(vec![commit]).await;
    let is_refused = matches!(&refused, Err(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)));
    assert!(is_refused, "{what}: {refused:?}");
    let commit = placed(world);
    let refused = store.commit(vec![commit]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{what}: {refused:?}");
    let ready = store.ping().await;
    assert!(matches!(&ready, Err(StoreError::Unavailable(_))), "{what}: {ready:?}");
}

/// Proves that, while a file of the database is removed, moved or replaced, no write is acknowledged and no read confirms one,
/// and that the store accepts writes again once the files are back.
#[tokio::test]
async fn a_lost_file_refuses_writes_until_it_is_back() {
    let (directory, path) = new_database();
    let mut world = World::new(104);
    let store = open(&path);
    let commit = placed(&mut world);
    store.commit(vec![commit.clone()]).await.unwrap();
    let aside = directory.path().join("aside");
    for name in ["dabba.db", "dabba.db-wal", "dabba.db-shm"] {
        let file = directory.path().join(name);
        std::fs::rename(&file, &aside).unwrap();
        assert_lost(&store, &mut world, name).await;
        assert!(store.order(commit.order_id).await.is_err(), "{name}");
        std::fs::copy(&aside, &file).unwrap();
        assert_lost(&store, &mut world, name).await;
        std::fs::rename(&aside, &file).unwrap();
        store.ping().await.unwrap();
        let commit = placed(&mut world);
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed], "{name}");
    }
    let other = tempfile::tempdir().unwrap();
    let moved = other.path().join("moved");
    std::fs::rename(directory.path(), &moved).unwrap();
    assert_lost(&store, &mut world, "the directory").await;
    std::fs::rename(&moved, directory.path()).unwrap();
    store.ping().await.unwrap();
    store.close().await;
}

/// Proves that no write is acknowledged after the database or its log was truncated, completely or in part, and that the database
/// is not served without its lost content until a backup is restored.
#[tokio::test]
async fn a_truncated_file_refuses_writes() {
    for (name, size) in [("dabba.db", 0), ("dabba.db", 4_096), ("dabba.db-wal", 0), ("dabba.db-wal", 8_192)] {
        let (directory, path) = new_database();
        let mut world = World::new(107);
        let backup = directory.path().join("backup.db");
        SqliteStore::back_up(&path, &backup).unwrap();
        let store = open(&path);
        let commits = (0..20).map(|_| placed(&mut world)).collect();
        store.commit(commits).await.unwrap();
        let what = format!("{name} of {size} bytes");
        let file = directory.path().join(name);
        assert!(std::fs::metadata(&file).unwrap().len() > size, "{what}");
        // A separate process truncates: this process must not close a second descriptor of the file.
        let size = size.to_string();
        let truncated =
            std::process::Command::new("truncate").args(["-s", &size]).arg(&file).status().unwrap();
        assert!(truncated.success());
        assert_lost(&store, &mut world, &what).await;
        store.close().await;
        let text = refusal(&path);
        assert!(text.contains("orders are missing") || text.contains("is empty"), "{what}: {text}");
        SqliteStore::restore(&path, &backup, Some("T")).unwrap();
        open(&path).close().await;
    }
}

/// Proves that a log is not applied to a file for which it was not written, and that the original is served again.
#[tokio::test]
async fn a_log_of_another_file_is_refused() {
    let (directory, path) = new_database();
    let backup = directory.path().join("backup");
    std::fs::copy(&path, &backup).unwrap();
    let mut world = World::new(105);
    let store = open(&path);
    let commit = placed(&mut world);
    store.commit(vec![commit.clone()]).await.unwrap();
    let aside = directory.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::rename(&backup, &path).unwrap();
    let restored = std::fs::read(&path).unwrap();
    store.close().await;
    assert!(refusal(&path).contains("the log"));
    assert!(SqliteStore::migrate(&path).unwrap_err().to_string().contains("the log"));
    assert_eq!(std::fs::read(&path).unwrap(), restored, "the new file is untouched");

    std::fs::rename(&aside, &path).unwrap();
    let store = open(&path);
    assert_eq!(store.order(commit.order_id).await.unwrap(), Some(order_of(&commit)));
    store.close().await;
}

/// Overwrites a file with another one and keeps its inode. A separate process copies: this process must not close a second
/// descriptor of the file.
fn overwrite(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Proves that a complete database that is copied over the open one is detected, whether it is a backup or an earlier state of
/// the same file, and that the remaining log is not applied to it afterwards.
#[tokio::test]
async fn an_overwritten_file_refuses_writes_and_the_log() {
    for is_backup in [true, false] {
        let (directory, path) = new_database();
        let mut world = World::new(108);
        let store = open(&path);
        let commit = placed(&mut world);
        store.commit(vec![commit]).await.unwrap();
        store.close().await;
        let earlier = directory.path().join("earlier.db");
        if is_backup {
            SqliteStore::back_up(&path, &earlier).unwrap();
        } else {
            std::fs::copy(&path, &earlier).unwrap();
        }
        let store = open(&path);
        let commit = placed(&mut world);
        store.commit(vec![commit]).await.unwrap();
        overwrite(&earlier, &path);
        assert_lost(&store, &mut world, "overwritten").await;
        store.close().await;
        let log = std::fs::read(directory.path().join("dabba.db-wal")).unwrap();
        assert!(!log.is_empty());
        let content = std::fs::read(&path).unwrap();
        assert!(refusal(&path).contains("the log"), "is_backup: {is_backup}");
        let kept = SqliteStore::back_up(&path, &directory.path().join("new.db"));
        assert!(kept.unwrap_err().to_string().contains("the log"));
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(std::fs::read(directory.path().join("dabba.db-wal")).unwrap(), log);
    }
}

/// Proves that the removal of a log after a crash is detected, and that the operator can continue without the log.
#[tokio::test]
async fn a_removed_log_is_detected() {
    let (directory, path) = new_database();
    let mut world = World::new(109);
    let store = open(&path);
    let commit = placed(&mut world);
    store.commit(vec![commit]).await.unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["dabba.db", "dabba.db-shm"] {
        overwrite(&directory.path().join(name), &crashed.path().join(name));
    }
    store.close().await;
    let path = crashed.path().join("dabba.db");
    assert!(refusal(&path).contains("dabba.db-wal is missing"));
    assert!(SqliteStore::back_up(&path, &crashed.path().join("new.db")).is_err());
    std::fs::remove_file(crashed.path().join("dabba.db-shm")).unwrap();
    open(&path).close().await;
}

/// Proves that a store that is closed after its database was truncated keeps the log, which holds the orders.
#[tokio::test]
async fn a_log_outlives_a_truncated_database() {
    let (directory, path) = new_database();
    let mut world = World::new(110);
    let store = open(&path);
    let commit = placed(&mut world);
    store.commit(vec![commit]).await.unwrap();
    let log = directory.path().join("dabba.db-wal");
    let content = std::fs::read(&log).unwrap();
    let truncated = std::process::Command::new("truncate").args(["-s", "0"]).arg(&path).status().unwrap();
    assert!(truncated.success());
    store.close().await;
    assert_eq!(std::fs::read(&log).unwrap(), content);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
}

/// Proves that a restore through a symbolic link does not change the link, and keeps the old database beside the file.
#[tokio::test]
async fn a_restore_follows_a_link() {
    let (directory, path) = new_database();
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("real.db");
    std::fs::rename(&path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    let backup = directory.path().join("backup.db");
    SqliteStore::back_up(&path, &backup).unwrap();
    let mut world = World::new(111);
    let store = open(&path);
    let commit = placed(&mut world);
    store.commit(vec![commit.clone()]).await.unwrap();
    store.close().await;
    let restored = SqliteStore::restore(&path, &backup, Some("T")).unwrap();
    assert_eq!(restored.kept, Some(elsewhere.path().join("real.db.before-T")));
    assert_eq!(std::fs::read_link(&path).unwrap(), real);
    let store = open(&path);
    assert_eq!(store.order(commit.order_id).await.unwrap(), None);
    store.close().await;
    let store = open(&restored.kept.unwrap());
    assert_eq!(store.order(commit.order_id).await.unwrap(), Some(order_of(&commit)));
    store.close().await;
}

/// Proves that a restore rolls back the journal of a killed process into its own database, and that the journal is applied to no
/// other file.
#[tokio::test]
async fn a_journal_is_rolled_back_before_a_restore() {
    let (directory, path) = new_database();
    let backup = directory.path().join("backup.db");
    SqliteStore::back_up(&path, &backup).unwrap();
    // A transaction that has reached the file, and whose process is killed.
    let script = "import os, sqlite3, sys\n\
                  c = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  c.execute('PRAGMA journal_mode = DELETE')\n\
                  c.execute('PRAGMA cache_size = 1')\n\
                  c.execute('BEGIN')\n\
                  c.execute('CREATE TABLE notes (text)')\n\
                  c.execute('INSERT INTO notes SELECT zeroblob(1000000)')\n\
                  os.kill(os.getpid(), 9)";
    let killed = std::process::Command::new("python3").args(["-c", script]).arg(&path).status().unwrap();
    assert!(!killed.success());
    let journal = directory.path().join("dabba.db-journal");
    assert!(std::fs::metadata(&journal).unwrap().len() > 0);
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(&journal, directory.path().join("copy.db-journal")).unwrap();
    let text = SqliteStore::restore(&directory.path().join("new.db"), &copy, None).unwrap_err().to_string();
    assert!(text.contains("journal beside it"), "{text}");

    let kept = SqliteStore::restore(&path, &backup, Some("T")).unwrap().kept.unwrap();
    assert!(!journal.exists());
    for database in [&path, &kept] {
        open(database).close().await;
        let connection = rusqlite::Connection::open(database).unwrap();
        let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let notes = "SELECT count(*) FROM sqlite_schema WHERE name = 'notes'";
        let notes: u32 = connection.query_row(notes, [], |row| row.get(0)).unwrap();
        assert_eq!((found.as_str(), notes), ("ok", 0));
    }
}

/// Proves that another process, such as a tool for `SQLite`, may write the log back and shorten both files while the store is
/// open; and that a backup that reads continuously does not prevent a store from being opened.
#[tokio::test]
async fn tools_may_shorten_the_files() {
    let (directory, path) = new_database();
    let mut world = World::new(112);
    let store = open(&path);
    let commits = (0..200).map(|_| placed(&mut world)).collect();
    store.commit(commits).await.unwrap();
    let sqlite = |sql: &str| {
        // A tool runs in a separate process.
        let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\nprint(c.execute(sys.argv[2]).fetchall())";
        let run =
            std::process::Command::new("python3").args(["-c", script]).arg(&path).arg(sql).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    for sql in ["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        let before = std::fs::metadata(directory.path().join("dabba.db-wal")).unwrap().len();
        let output = sqlite(sql);
        assert!(!output.contains("(1,"), "{sql} must not be busy: {output}");
        for _ in 0..3 {
            let commit = placed(&mut world);
            assert_eq!(
                store.commit(vec![commit]).await.unwrap(),
                [CommitOutcome::Committed],
                "{sql} {before}"
            );
        }
        store.ping().await.unwrap();
    }
    store.close().await;

    let reader = rusqlite::Connection::open(&path).unwrap();
    for _ in 0..3 {
        reader.execute_batch("BEGIN; SELECT count(*) FROM orders").unwrap();
        let store = open(&path);
        let commit = placed(&mut world);
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
        reader.execute_batch("COMMIT").unwrap();
        let commit = placed(&mut world);
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
        store.close().await;
    }
}

/// Proves that a log that was removed and then put back in part is recorded as a loss, and that a log that is put back completely
/// is not.
#[tokio::test]
async fn a_log_that_is_put_back_in_part_is_a_loss() {
    for is_whole in [true, false] {
        let (directory, path) = new_database();
        let mut world = World::new(113);
        let store = open(&path);
        let commit = placed(&mut world);
        store.commit(vec![commit.clone()]).await.unwrap();
        let (log, aside) = (directory.path().join("dabba.db-wal"), directory.path().join("aside"));
        std::fs::rename(&log, &aside).unwrap();
        assert_lost(&store, &mut world, "removed").await;
        if !is_whole {
            let cut =
                std::process::Command::new("truncate").args(["-s", "100"]).arg(&aside).status().unwrap();
            assert!(cut.success());
        }
        std::fs::rename(&aside, &log).unwrap();
        if is_whole {
            store.ping().await.unwrap();
        } else {
            assert_lost(&store, &mut world, "put back in part").await;
        }
        store.close().await;
        if is_whole {
            let store = open(&path);
            assert_eq!(store.order(commit.order_id).await.unwrap(), Some(order_of(&commit)));
            store.close().await;
        } else {
            assert!(refusal(&path).contains("orders are missing"));
        }
    }
}

/// Proves that a store that has found its file damaged reports the damage from then on, whatever else it can still read, and that
/// damage that no read has found does not make the store refuse.
#[tokio::test]
async fn a_damaged_file_is_reported() {
    use std::os::unix::fs::FileExt as _;
    let (_directory, path) = new_database();
    let mut world = World::new(109);
    let store = open(&path);
    let commit = placed(&mut world);
    assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    store.close().await;
    let (page, size): (u64, u64) = {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        let page = number("SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'orders'");
        (page.unsigned_abs(), number("PRAGMA page_size").unsigned_abs())
    };
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0xa5; usize::try_from(size).unwrap()], (page - 1) * size).unwrap();

    let store = open(&path);
    store.ping().await.unwrap();
    let read = store.order(commit.order_id).await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    for _ in 0..2 {
        let ready = store.ping().await;
        assert!(matches!(&ready, Err(StoreError::Corrupt(text)) if text.contains("malformed")), "{ready:?}");
    }
    store.close().await;
}
