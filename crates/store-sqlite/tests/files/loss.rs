//! Loss of a file, or of its content, while the database is open or before it is opened.

use std::path::Path;

use super::{new_database, open, placed, refusal};
use dabba_store::{
    CommitOutcome, OrderStore as _, Store as _, StoreError,
    conformance::builders::{World, order_of},
};
use dabba_store_sqlite::SqliteStore;

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
