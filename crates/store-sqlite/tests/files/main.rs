//! Tests of the files on the disk: their durability, their loss, and the lock of one process.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends with a panic")]

mod loss;
mod restore;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dabba_domain::Role;
use dabba_domain::task::TaskQueue;
use dabba_store::{
    AccountStore as _, CatalogueStore as _, Commit, CommitOutcome, ConsumerName, ConsumerStore as _,
    FeedLease, FeedPosition, FeedStore as _, LeaseRequest, LeaseTaken, OrderStore as _, Store as _,
    StoreError, TaskStore as _,
    conformance::builders::{World, menu, menu_at, order_of, slug},
};
use dabba_store_sqlite::{MAX_STORED_MENUS, SqliteOptions, SqliteStore};
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
    let feed = store.feed(0, FeedPosition::START, 10).await.unwrap();
    let end = store.feed_end(0).await.unwrap();
    let catalogue = store.catalogue(restaurant.id).await.unwrap();
    store.close().await;

    let store = open(&path);
    let order = order_of(&commit);
    assert_eq!(store.order(order.id).await.unwrap().as_ref(), Some(&order));
    assert_eq!(store.feed(0, FeedPosition::START, 10).await.unwrap(), feed);
    assert_eq!(store.feed_end(0).await.unwrap(), end);
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

/// A process that opens the database takes leases at once: the holder has ended without a release, as after `kill -9`,
/// because only one process at a time opens the database. The token increases, and the earlier lease is void.
#[tokio::test]
async fn leases_end_with_the_process() {
    let (_directory, path) = new_database();
    let now = World::new(104).now();
    let until = now + Duration::from_hours(1);
    let take = async |store: &SqliteStore, holder: &str| -> FeedLease {
        let request =
            LeaseRequest { group: ConsumerName::webhooks(), holder: ConsumerName::new(holder).unwrap() };
        match store.take_feed_lease(0, &request, now, until).await.unwrap() {
            LeaseTaken::Taken(lease) => lease,
            held @ LeaseTaken::Held { .. } => panic!("{held:?}"),
        }
    };
    let store = open(&path);
    let killed = take(&store, "killed").await;
    store.close().await;

    let store = open(&path);
    assert!(!store.renew_feed_lease(0, &killed, now, until).await.unwrap());
    assert!(take(&store, "next").await.token > killed.token);
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
    for revision in 1..MAX_STORED_MENUS + 5 {
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
    assert_eq!(menus, MAX_STORED_MENUS);
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
