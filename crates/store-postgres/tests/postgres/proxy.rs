//! A proxy before the shared cluster, which cuts connections at chosen moments.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use dabba_pg_cluster::Cluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use crate::common::PATIENCE;

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// When the first statement of a transaction comes by, which the server does not get.
    BeforeBegin,
    /// Not at all: where the first statement of a transaction comes by, the server gets one that is cancelled at once, as
    /// by a timeout. What follows it arrives as it was sent.
    CancellingBegin,
    /// When COMMIT comes by, which the server does not get.
    BeforeCommit,
    /// When the server has answered to COMMIT, which the client does not get.
    AfterCommit,
    /// When COMMIT comes by, for the client only. The server's connection stays, and COMMIT is held back
    /// until [`Proxy::deliver`].
    HoldingCommit,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They are made.
    Open,
    /// They wait.
    Waiting,
    /// They are closed at once.
    Refusing,
}

/// Passes everything on between clients and the cluster's socket, except for what it is told to cut.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// The next cuts; each happens once.
    cuts: Mutex<VecDeque<Cut>>,
    /// How the gate stands after the next cut.
    gate_then: Mutex<Gate>,
    gate: watch::Sender<Gate>,
    cuts_made: watch::Sender<usize>,
    delivers: watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let socket = Cluster::shared().unwrap().socket();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            cuts: Mutex::default(),
            gate_then: Mutex::new(Gate::Open),
            gate: watch::Sender::new(Gate::Open),
            cuts_made: watch::Sender::new(0),
            delivers: watch::Sender::new(false),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, socket.clone(), Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    /// A database of the shared cluster, by way of the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let (_, database) = url.rsplit_once('/').unwrap();
        format!("postgresql://{}@127.0.0.1:{}/{database}", Cluster::shared().unwrap().user(), self.port)
    }

    /// Cuts at each of these moments once, in this order. After the first, the gate stands so. Answers how
    /// many cuts will have been made then, for [`Proxy::has_cut`].
    pub(crate) fn cut(&self, cuts: &[Cut], gate: Gate) -> usize {
        *self.state.gate_then.lock().unwrap() = gate;
        self.state.cuts.lock().unwrap().extend(cuts);
        *self.state.cuts_made.borrow() + cuts.len()
    }

    /// Waits until so many cuts have been made in all.
    pub(crate) async fn has_cut(&self, count: usize) {
        let mut made = self.state.cuts_made.subscribe();
        tokio::time::timeout(PATIENCE, made.wait_for(|made| *made >= count)).await.unwrap().unwrap();
    }

    /// Lets those that wait at the gate in.
    pub(crate) fn open_gate(&self) {
        self.state.gate.send_replace(Gate::Open);
    }

    /// Gives the server the COMMIT that is held back.
    pub(crate) fn deliver(&self) {
        self.state.delivers.send_replace(true);
    }
}

impl State {
    /// Whether it is time for this cut. If so it counts as made.
    fn takes(&self, wanted: impl Fn(Cut) -> bool) -> Option<Cut> {
        let cut = self.cuts.lock().unwrap().pop_front_if(|cut| wanted(*cut))?;
        self.gate.send_replace(std::mem::replace(&mut *self.gate_then.lock().unwrap(), Gate::Open));
        Some(cut)
    }

    fn is_cut(&self) {
        self.cuts_made.send_modify(|made| *made += 1);
    }
}

async fn connect(client: TcpStream, socket: PathBuf, state: Arc<State>) {
    let gate = *state.gate.subscribe().wait_for(|gate| *gate != Gate::Waiting).await.unwrap();
    if gate == Gate::Open {
        pass_on(client, UnixStream::connect(&socket).await.unwrap(), &state).await;
    }
}

/// Ends, and so closes both connections, when it is time to cut.
async fn pass_on(mut client: TcpStream, mut server: UnixStream, state: &State) {
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let request = &mut request[..length];
                let holds = |text: &[u8]| request.windows(text.len()).any(|window| window == text);
                let of_begin = |cut| matches!(cut, Cut::BeforeBegin | Cut::CancellingBegin);
                match state.takes(|cut| holds(if of_begin(cut) { b"BEGIN" } else { b"COMMIT\0" })) {
                    None => is_committing = false,
                    Some(Cut::CancellingBegin) => {
                        cancel_begin(request);
                        state.is_cut();
                    }
                    Some(Cut::AfterCommit) => is_committing = true,
                    Some(Cut::BeforeBegin | Cut::BeforeCommit) => {
                        // First, so that the server has noticed by the time that anybody hears of it.
                        drop(server);
                        state.is_cut();
                        return;
                    }
                    Some(Cut::HoldingCommit) => {
                        drop(client);
                        state.is_cut();
                        hold(server, request, state).await;
                        return;
                    }
                }
                server.write_all(request).await.unwrap();
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if is_committing {
                    state.is_cut();
                    return;
                }
                // A client that is gone is noticed when it is read from.
                let _ = client.write_all(&answer[..length]).await;
            }
        }
    }
}

/// Puts a statement in the place of the first BEGIN that fails as one does that is cancelled (57014).
fn cancel_begin(request: &mut [u8]) {
    const CANCELLED: &[u8] = b"DO $$BEGIN RAISE query_canceled;END$$";
    let start = request.windows(5).position(|window| window == b"BEGIN").unwrap();
    let length = request[start..].iter().position(|byte| *byte == 0).unwrap();
    let statement = &mut request[start..start + length];
    statement.fill(b' ');
    statement[..CANCELLED.len()].copy_from_slice(CANCELLED);
}

/// Keeps the server's connection, and gives it what it did not get when it is time. Until then the server
/// may end the connection for itself.
async fn hold(mut server: UnixStream, request: &[u8], state: &State) {
    let mut delivers = state.delivers.subscribe();
    let mut answer = [0; 1_024];
    let is_delivered = tokio::select! {
        delivered = delivers.wait_for(|delivers| *delivers) => delivered.is_ok(),
        _ = server.read(&mut answer) => false,
    };
    if is_delivered {
        server.write_all(request).await.unwrap();
        // The answer to COMMIT, which nobody gets.
        assert!(server.read(&mut answer).await.unwrap() > 0);
    }
}
