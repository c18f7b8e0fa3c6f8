//! A database that answers, and is not the one that the server expects.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dabba_domain::Timestamp;
use dabba_store::{Measurement, Store, StoreError, layer::StoreLayer};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use dabba_testkit::TestServer;
use futures::FutureExt as _;
use serde_json::json;

/// How a store shows that its database is not the expected one.
#[derive(Clone, Copy, Debug)]
enum Shown {
    No,
    /// The database states another shard.
    Mismatch,
    /// The store has verified the database again, and refuses to work in it.
    Unfit,
}

/// What the database says.
const TEXT: &str = "by the map it is shard \"main\"; the database says that it is shard \"south\"";

struct Strange {
    inner: Arc<dyn Store>,
    shown: Mutex<Shown>,
}

#[async_trait]
impl StoreLayer for Strange {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn measure(&self, shard: usize, now: Timestamp) -> Result<Measurement, StoreError> {
        let shown = *self.shown.lock().unwrap();
        let measured = self.inner.measure(shard, now).await?;
        match shown {
            Shown::No => Ok(measured),
            Shown::Mismatch => Ok(Measurement { mismatch: Some(TEXT.to_owned()), ..measured }),
            Shown::Unfit => Err(StoreError::Unfit(TEXT.to_owned())),
        }
    }
}

/// Proves that the state of a shard whose database belongs to another shard is `mismatch`, with what differs and without the
/// numbers of the other shard, and `ok` again when the database is the expected one.
#[tokio::test]
async fn a_database_of_another_shard_is_a_mismatch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.db");
    SqliteStore::migrate(&path).unwrap();
    let inner: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let strange = Arc::new(Strange { inner, shown: Mutex::new(Shown::No) });
    let store = Arc::clone(&strange) as Arc<dyn Store>;
    let factory = Arc::new(move || std::future::ready(Arc::clone(&store)).boxed());
    let server = TestServer::builder().store(factory).start().await;
    let cases =
        [(Shown::No, "ok"), (Shown::Mismatch, "mismatch"), (Shown::Unfit, "mismatch"), (Shown::No, "ok")];
    for (shown, state) in cases {
        *strange.shown.lock().unwrap() = shown;
        let all = server.get("/v1/shards", Some(&server.admin)).await.expect(200);
        let shard = &all["shards"][0];
        assert_eq!(shard["state"], json!(state), "{shown:?}: {shard}");
        let is_ok = state == "ok";
        let states_the_difference = shard["error"].as_str().map(|error| error.contains(TEXT));
        assert_eq!(states_the_difference, (!is_ok).then_some(true), "{shard}");
        for member in ["schema_version", "latency_ms", "tasks_parked"] {
            assert_eq!(shard.get(member).is_some(), is_ok, "{shown:?}: {shard}");
        }
    }
}
