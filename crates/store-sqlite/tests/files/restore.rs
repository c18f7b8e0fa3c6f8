//! Restoration of backups onto links and journals.

use std::path::Path;

use super::{new_database, open, placed};
use dabba_store::{
    CursorVoid, FeedCursor, FeedStore as _, OrderStore as _, Store as _,
    conformance::builders::{World, order_of},
};
use dabba_store_sqlite::SqliteStore;

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

/// Proves that a backup and each restore have an incarnation of their own, also if the backup is copied by hand, and
/// that a backup does not change the incarnation of its database. So a cursor from before a restore is void, and skips
/// no event.
#[tokio::test]
async fn a_restored_database_has_a_new_incarnation() {
    let (directory, path) = new_database();
    let backup = directory.path().join("backup.db");
    let mut world = World::new(113);
    let end = async |path: &Path| {
        let store = open(path);
        let end = store.feed_end(0).await.unwrap();
        store.close().await;
        end
    };
    let store = open(&path);
    store.commit(vec![placed(&mut world)]).await.unwrap();
    SqliteStore::back_up(&path, &backup).unwrap();
    store.commit(vec![placed(&mut world)]).await.unwrap();
    let sources = store.feed_sources();
    let cursor = FeedCursor::at_end(&sources, &[Some(store.feed_end(0).await.unwrap())]).unwrap();
    store.close().await;
    let before = end(&path).await;
    let mut incarnations = vec![before.incarnation];
    for name in ["first.db", "second.db"] {
        let restored = directory.path().join(name);
        SqliteStore::restore(&restored, &backup, None).unwrap();
        incarnations.push(end(&restored).await.incarnation);
        assert_eq!(end(&restored).await.incarnation, *incarnations.last().unwrap());
    }
    let copied = directory.path().join("copied.db");
    std::fs::copy(&backup, &copied).unwrap();
    incarnations.push(end(&copied).await.incarnation);
    SqliteStore::restore(&path, &backup, Some("T")).unwrap();
    let store = open(&path);
    store.commit(vec![placed(&mut world), placed(&mut world)]).await.unwrap();
    let after = store.feed_end(0).await.unwrap();
    store.close().await;
    incarnations.push(after.incarnation);
    let distinct: std::collections::BTreeSet<_> = incarnations.iter().collect();
    assert_eq!(distinct.len(), incarnations.len());
    assert!(after.position > before.position, "the position alone would not reveal the restore");
    let void = CursorVoid::OtherIncarnation(sources[0].name.clone());
    assert_eq!(cursor.clone().resolve(&sources, &[Some(after)]), Err(void));
    assert!(cursor.clone().resolve(&sources, &[Some(before)]).is_ok());
}
