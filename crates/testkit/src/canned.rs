//! A program at an address that is no Dabba server, such as a proxy: it gives every request the same response.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConnection, StreamOwned};

use crate::TlsIdentity;

/// A server that gives every request the same response. Lasts as long as the process.
pub struct CannedServer {
    address: SocketAddr,
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl CannedServer {
    /// Starts a server that responds with this status line without the version (`302 Found`), these headers, and this
    /// body.
    pub fn start(status: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let server = Self::serve(status, headers, body, respond);
        Self { url: format!("http://{}", server.address), ..server }
    }

    /// Starts a server as [`CannedServer::start`] does, which encrypts its connections and has this certificate.
    pub fn start_encrypted(
        identity: &TlsIdentity,
        status: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Self {
        let config = identity.server_config();
        let server = Self::serve(status, headers, body, move |connection, response| {
            let encrypted = ServerConnection::new(Arc::clone(&config)).expect("a valid configuration");
            // A client that does not trust the certificate closes the connection.
            respond(StreamOwned::new(encrypted, connection), response)
        });
        Self { url: format!("https://{}:{}", identity.name(), server.port()), ..server }
    }

    fn serve(
        status: &str,
        headers: &[(&str, &str)],
        body: &str,
        respond: impl Fn(TcpStream, &str) -> Option<String> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let mut response = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
        for (name, value) in headers {
            response.extend([*name, ": ", *value, "\r\n"]);
        }
        // A response without content has no length either.
        if !status.starts_with("204") {
            response.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        response.extend(["\r\n", body]);
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let received = Arc::clone(&requests);
        thread::spawn(move || {
            // A connection that breaks is the client's matter.
            for connection in listener.incoming().flatten() {
                if let Some(request) = respond(connection, &response) {
                    received.lock().expect("no panic under the lock").push(request);
                }
            }
        });
        Self { address, url: String::new(), requests }
    }

    /// Returns the URL of the server, without a slash at its end. The host of an encrypted server is the name of its
    /// certificate.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns the port of the server.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the heads of the requests so far: their first line and their headers.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic under the lock").clone()
    }
}

/// Reads a request, sends the response, and returns the request's head; `None` if the connection breaks.
fn respond(connection: impl Read + Write, response: &str) -> Option<String> {
    let mut lines = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    lines.read_exact(&mut vec![0; length]).ok()?;
    lines.get_mut().write_all(response.as_bytes()).ok()?;
    Some(head)
}
