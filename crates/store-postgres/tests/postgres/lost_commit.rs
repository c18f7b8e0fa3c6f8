//! A connection that is lost at the worst moment.

use std::path::PathBuf;

use dabba_pg_cluster::Cluster;
use dabba_store::{Commit, CommitOutcome, OrderStore as _, StoreError, conformance::builders::World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use crate::common::{fresh_database, open};

/// When the proxy cuts the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// When the first statement of a transaction comes by, which the server does not get.
    BeforeBegin,
    /// When COMMIT comes by, which the server does not get.
    BeforeCommit,
    /// When the server has answered to COMMIT, which the client does not get.
    AfterCommit,
}

/// Passes everything on between clients and the cluster's socket, until it is told to cut.
struct Proxy {
    port: u16,
    cut: watch::Sender<Cut>,
}

impl Proxy {
    async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, watched) = watch::channel(Cut::Never);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(pass_on(client, server, watched.clone()));
            }
        });
        Self { port, cut }
    }

    /// The same database, by way of the proxy.
    fn url(&self, url: &str) -> String {
        let (_, database) = url.rsplit_once('/').unwrap();
        format!("postgresql://{}@127.0.0.1:{}/{database}", Cluster::shared().unwrap().user(), self.port)
    }
}

/// Ends, and so closes both connections, when it is time to cut.
async fn pass_on(mut client: TcpStream, mut server: UnixStream, cut: watch::Receiver<Cut>) {
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let cut = *cut.borrow();
                let holds = |text: &[u8]| request[..length].windows(text.len()).any(|window| window == text);
                if (cut == Cut::BeforeBegin && holds(b"BEGIN")) || (cut == Cut::BeforeCommit && holds(b"COMMIT\0")) {
                    return;
                }
                is_committing = cut == Cut::AfterCommit && holds(b"COMMIT\0");
                server.write_all(&request[..length]).await.unwrap();
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if is_committing {
                    return;
                }
                client.write_all(&answer[..length]).await.unwrap();
            }
        }
    }
}

/// What the store says when the connection is cut there, and whether the order is there afterwards. The
/// idempotency key tells the same, and the same request again makes exactly one order.
async fn commit_cut(cut: Cut, seed: u64) -> (Result<Vec<CommitOutcome>, StoreError>, bool) {
    let url = fresh_database();
    let proxy = Proxy::start(Cluster::shared().unwrap().socket()).await;
    let store = open(&proxy.url(&url)).await;
    let mut world = World::new(seed);
    let commit: Commit = world.place(world.clone().restaurant_id(), world.clone().account_id());
    proxy.cut.send(cut).unwrap();
    let outcome = store.commit(vec![commit.clone()]).await;
    proxy.cut.send(Cut::Never).unwrap();

    let is_there = store.order(commit.order_id).await.unwrap().is_some();
    let claim = commit.claim.clone().unwrap();
    let record = store.find_claim(claim.account_id, commit.restaurant_id, &claim.key).await.unwrap();
    assert_eq!(record.map(|record| record.order_id), is_there.then_some(commit.order_id));
    let again = store.commit(vec![commit.clone()]).await.unwrap();
    let expected = if is_there {
        CommitOutcome::Replayed { order_id: commit.order_id, version: 2 }
    } else {
        CommitOutcome::Committed
    };
    assert_eq!(again, [expected]);
    assert_eq!(
        store.metrics().unknown_outcomes.get(),
        u64::from(matches!(outcome, Err(StoreError::OutcomeUnknown(_))))
    );
    (outcome, is_there)
}

/// Before COMMIT is sent, a lost connection means that nothing was written, and the store knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_commit_has_written_nothing() {
    let (outcome, is_there) = commit_cut(Cut::BeforeBegin, 1).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    assert!(!is_there);
}

/// A COMMIT that did not arrive looks the same from here as one whose answer got lost: the store says
/// that it does not know, and the key tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_did_not_arrive_is_of_unknown_outcome() {
    let (outcome, is_there) = commit_cut(Cut::BeforeCommit, 2).await;
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    assert!(!is_there);
}

/// See above.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_got_lost_is_of_unknown_outcome() {
    let (outcome, is_there) = commit_cut(Cut::AfterCommit, 3).await;
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    assert!(is_there);
}
