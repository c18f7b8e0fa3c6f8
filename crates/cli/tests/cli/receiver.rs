//! A receiver of webhooks.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use dabba_testkit::eventually_blocking;
use serde_json::Value;

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Headers, with names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// A server that keeps the webhooks it receives, and responds with a status. Lasts as long as the process.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    /// Starts a receiver that accepts every webhook.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiver = Self { address, received: Arc::default(), status: Arc::new(204.into()) };
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
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            match line.trim().split_once(": ") {
                Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                None if line.trim().is_empty() => break,
                None => {} // The first line.
            }
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        lines.read_exact(&mut body).unwrap();
        let status = self.status.load(Ordering::SeqCst);
        if status == 204 {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            self.received.lock().unwrap().push(Received { headers, body });
        }
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _ = connection.write_all(head.as_bytes());
    }
}
