//! A proxy in front of the shared cluster, which cuts connections at chosen points.

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

use crate::common::in_time;

/// Point at which a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// At the first statement of a transaction, which the server does not receive.
    BeforeBegin,
    /// Not cut: replaces the first statement of a transaction by one that is cancelled at once, as by a timeout. The
    /// following statements arrive unchanged.
    CancellingBegin,
    /// At COMMIT, which the server does not receive.
    BeforeCommit,
    /// After the server's response to COMMIT, which the client does not receive.
    AfterCommit,
    /// At COMMIT, for the client only. The server's connection stays open, and the proxy holds COMMIT back until
    /// [`Proxy::deliver`].
    HoldingCommit,
}

/// Handling of new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// New connections are accepted.
    Open,
    /// New connections wait.
    Waiting,
    /// New connections are closed at once.
    Refusing,
}

/// Forwards everything between clients and the cluster's socket, and makes the requested cuts.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    /// Pending cuts; each is made once.
    cuts: Mutex<VecDeque<Cut>>,
    /// State of the gate after the next cut.
    gate_after_cut: Mutex<Gate>,
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
            gate_after_cut: Mutex::new(Gate::Open),
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

    /// Returns the URL of a database of the shared cluster that leads through the proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        let (_, database) = url.rsplit_once('/').unwrap();
        format!("postgresql://{}@127.0.0.1:{}/{database}", Cluster::shared().unwrap().user(), self.port)
    }

    /// Requests one cut at each of these points, in this order. After the first cut, the gate is set to `gate`.
    /// Returns the total number of cuts then made, for [`Proxy::has_cut`].
    pub(crate) fn cut(&self, cuts: &[Cut], gate: Gate) -> usize {
        *self.state.gate_after_cut.lock().unwrap() = gate;
        self.state.cuts.lock().unwrap().extend(cuts);
        *self.state.cuts_made.borrow() + cuts.len()
    }

    /// Waits until this number of cuts has been made in total.
    pub(crate) async fn has_cut(&self, count: usize) {
        let mut made = self.state.cuts_made.subscribe();
        in_time("the connection is cut", made.wait_for(|made| *made >= count)).await.unwrap();
    }

    /// Lets the connections that wait at the gate in.
    pub(crate) fn open_gate(&self) {
        self.state.gate.send_replace(Gate::Open);
    }

    /// Sends the COMMIT that is held back to the server.
    pub(crate) fn deliver(&self) {
        self.state.delivers.send_replace(true);
    }
}

impl State {
    /// Takes the next cut if it is one that is wanted now, and sets the gate.
    fn take_cut(&self, wanted: impl Fn(Cut) -> bool) -> Option<Cut> {
        let cut = self.cuts.lock().unwrap().pop_front_if(|cut| wanted(*cut))?;
        self.gate.send_replace(std::mem::replace(&mut *self.gate_after_cut.lock().unwrap(), Gate::Open));
        Some(cut)
    }

    fn count_cut(&self) {
        self.cuts_made.send_modify(|made| *made += 1);
    }
}

async fn connect(client: TcpStream, socket: PathBuf, state: Arc<State>) {
    let gate = *state.gate.subscribe().wait_for(|gate| *gate != Gate::Waiting).await.unwrap();
    if gate == Gate::Open {
        forward(client, UnixStream::connect(&socket).await.unwrap(), &state).await;
    }
}

/// Forwards between client and server. Ends at a cut, which closes both connections.
async fn forward(mut client: TcpStream, mut server: UnixStream, state: &State) {
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let request = &mut request[..length];
                let holds = |text: &[u8]| request.windows(text.len()).any(|window| window == text);
                let of_begin = |cut| matches!(cut, Cut::BeforeBegin | Cut::CancellingBegin);
                match state.take_cut(|cut| holds(if of_begin(cut) { b"BEGIN" } else { b"COMMIT\0" })) {
                    None => is_committing = false,
                    Some(Cut::CancellingBegin) => {
                        cancel_begin(request);
                        state.count_cut();
                    }
                    Some(Cut::AfterCommit) => is_committing = true,
                    Some(Cut::BeforeBegin | Cut::BeforeCommit) => {
                        // The server's connection is closed first, so that the server has noticed it before the test
                        // continues.
                        drop(server);
                        state.count_cut();
                        return;
                    }
                    Some(Cut::HoldingCommit) => {
                        drop(client);
                        state.count_cut();
                        hold(server, request, state).await;
                        return;
                    }
                }
                server.write_all(request).await.unwrap();
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if is_committing {
                    state.count_cut();
                    return;
                }
                // A vanished client is noticed at the next read from it.
                let _ = client.write_all(&answer[..length]).await;
            }
        }
    }
}

/// Replaces the first BEGIN by a statement that fails like a cancelled one (57014).
fn cancel_begin(request: &mut [u8]) {
    const CANCELLED: &[u8] = b"DO $$BEGIN RAISE query_canceled;END$$";
    let start = request.windows(5).position(|window| window == b"BEGIN").unwrap();
    let length = request[start..].iter().position(|byte| *byte == 0).unwrap();
    let statement = &mut request[start..start + length];
    statement.fill(b' ');
    statement[..CANCELLED.len()].copy_from_slice(CANCELLED);
}

/// Keeps the server's connection open, and sends the held request when the test delivers it. Until then the server
/// may close the connection.
async fn hold(mut server: UnixStream, request: &[u8], state: &State) {
    let mut delivers = state.delivers.subscribe();
    let mut answer = [0; 1_024];
    let is_delivered = tokio::select! {
        delivered = delivers.wait_for(|delivers| *delivers) => delivered.is_ok(),
        _ = server.read(&mut answer) => false,
    };
    if is_delivered {
        server.write_all(request).await.unwrap();
        // The response to COMMIT, which no client receives.
        assert!(server.read(&mut answer).await.unwrap() > 0);
    }
}
