//! A receiver of webhooks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, BufReader, ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    thread,
};

use dabba_testkit::eventually_blocking;
use serde_json::Value;
use tokio::sync::oneshot;

/// Status of the response to an accepted webhook.
pub(crate) const ACCEPTED: u16 = 204;

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Headers, with names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// A request, before its response.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) received: Received,
    /// Status of the response.
    pub(crate) status: u16,
    /// Whether the receiver has refused the same webhook before.
    pub(crate) is_retry: bool,
}

/// Stage of a request at which a trap springs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The webhook is received, and its sender gets no response.
    Received,
    /// The response is sent.
    Answered,
}

/// Waits for a certain request.
struct Trap {
    stage: Stage,
    holds: Box<dyn FnMut(&Attempt) -> bool + Send>,
    sprung: oneshot::Sender<Attempt>,
}

/// A server that keeps the webhooks it accepts, and responds with a status. Lasts as long as the process.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    status: Arc<AtomicU16>,
    /// Number of requests so far.
    requests: Arc<AtomicUsize>,
    /// Interval of requests that are refused; 0 if none is.
    refused_every: Arc<AtomicUsize>,
    /// Ids of the refused webhooks.
    refused: Arc<Mutex<BTreeSet<String>>>,
    trap: Arc<Mutex<Option<Trap>>>,
}

impl Receiver {
    /// Starts a receiver that accepts every webhook.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiver = Self {
            address,
            received: Arc::default(),
            status: Arc::new(ACCEPTED.into()),
            requests: Arc::default(),
            refused_every: Arc::default(),
            refused: Arc::default(),
            trap: Arc::default(),
        };
        let serving = receiver.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let serving = serving.clone();
                // A connection that breaks ends its thread; the server retries.
                thread::spawn(move || serving.serve(connection.unwrap()));
            }
        });
        receiver
    }

    /// Returns host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Sets the status of all later responses.
    pub(crate) fn respond_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// Refuses each `interval`-th request from now on with 500; none if `interval` is 0.
    pub(crate) fn refuse_every(&self, interval: usize) {
        self.refused_every.store(interval, Ordering::SeqCst);
    }

    /// Returns a channel that gets the first request from now on for which `holds` returns true, at this stage. Replaces
    /// an earlier trap.
    pub(crate) fn trap(
        &self,
        stage: Stage,
        holds: impl FnMut(&Attempt) -> bool + Send + 'static,
    ) -> oneshot::Receiver<Attempt> {
        let (sprung, wait) = oneshot::channel();
        *self.trap.lock().unwrap() = Some(Trap { stage, holds: Box::new(holds), sprung });
        wait
    }

    /// Returns the number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Returns the ids of the events that were accepted so far, in the order of their arrival.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.bodies().iter().map(|body| body["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the bodies of the webhooks so far, in the order of their arrival.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.received.lock().unwrap().iter().map(|received| received.body.clone()).collect()
    }

    /// Waits until a webhook fulfils the condition, and returns it.
    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&Received) -> bool) -> Received {
        let mut found = None;
        eventually_blocking(what, || {
            let received = self.received.lock().unwrap().clone();
            found = received.iter().find(|received| holds(received)).cloned();
            if found.is_some() { Ok(()) } else { Err(received) }
        });
        found.unwrap()
    }

    fn serve(&self, mut connection: TcpStream) {
        let mut lines = BufReader::new(connection.try_clone().unwrap());
        // A sender that is killed sends a part of a request, or nothing.
        let Ok(received) = read_request(&mut lines) else { return };
        let attempt = self.decide(received);
        let status = attempt.status;
        let mut trap = self.trap.lock().unwrap().take_if(|trap| (trap.holds)(&attempt));
        if let Some(trap) = trap.take_if(|trap| trap.stage == Stage::Received) {
            let _ = trap.sprung.send(attempt);
            // Ends with the sender.
            let _ = lines.read(&mut [0]);
            return;
        }
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _ = connection.write_all(head.as_bytes());
        if let Some(trap) = trap {
            let _ = trap.sprung.send(attempt);
        }
    }

    /// Determines the response to a webhook, and keeps the webhook if it is accepted.
    fn decide(&self, received: Received) -> Attempt {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let is_refused = number.checked_rem(self.refused_every.load(Ordering::SeqCst)) == Some(0);
        let status = if is_refused { 500 } else { self.status.load(Ordering::SeqCst) };
        let id = received.headers.get("webhook-id").cloned().unwrap_or_default();
        let is_retry = if status == ACCEPTED {
            self.received.lock().unwrap().push(received.clone());
            self.refused.lock().unwrap().contains(&id)
        } else {
            !self.refused.lock().unwrap().insert(id)
        };
        Attempt { received, status, is_retry }
    }
}

fn read_request(lines: &mut impl BufRead) -> io::Result<Received> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match line.trim().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None if line.trim().is_empty() => break,
            None => {} // The first line.
        }
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    lines.read_exact(&mut body)?;
    Ok(Received { headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}
