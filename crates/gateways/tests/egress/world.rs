//! Servers that behave as a test needs, an injected resolver, and clients.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use dabba_engine::{
    Egress as _, EgressAttempt, EgressFailure, EgressFailureKind, EgressReply, EgressRequest, TargetUrl,
};
use dabba_gateways::egress::{EgressClient, EgressOptions, EgressPolicy, NameResolver};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Timeout of the requests that must succeed.
const AMPLE: Duration = Duration::from_secs(30);
/// Timeout of the requests whose timeout must expire.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
/// The end of a request's body in these tests.
pub(crate) const BODY: &str = "the-body";

/// What a server does after it has read a request.
#[derive(Clone)]
pub(crate) enum Then {
    /// Sends the bytes and keeps the connection for the next request.
    Send(String),
    /// Waits for a permit and does what `Send` does.
    Hold(Arc<Semaphore>, String),
    /// Sends the bytes, then the chunk over and over until the client closes the connection.
    Repeat(String, Vec<u8>),
    /// Sends the bytes and waits until the client closes the connection.
    Stop(String),
    /// Closes the connection with a reset.
    Reset,
}

/// A server on this machine.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Receives a message when the client has closed a connection.
    pub(crate) closed: tokio::sync::mpsc::UnboundedReceiver<()>,
}

impl Server {
    pub(crate) async fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (sender, closed) = tokio::sync::mpsc::unbounded_channel();
        let (counted, seen) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (then, seen, sender) = (then.clone(), Arc::clone(&seen), sender.clone());
                tokio::spawn(async move {
                    let _ = serve(stream, &then, &seen).await;
                    let _ = sender.send(());
                });
            }
        });
        Self { address, connections, requests, closed }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the requests so far, as text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

async fn serve(mut stream: TcpStream, then: &Then, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(BODY.as_bytes()) {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        seen.lock().unwrap().push(String::from_utf8(request).unwrap());
        match then {
            Then::Send(bytes) => stream.write_all(bytes.as_bytes()).await?,
            Then::Hold(permits, bytes) => {
                permits.acquire().await.unwrap().forget();
                stream.write_all(bytes.as_bytes()).await?;
            }
            Then::Repeat(bytes, chunk) => {
                stream.write_all(bytes.as_bytes()).await?;
                loop {
                    stream.write_all(chunk).await?;
                }
            }
            Then::Stop(bytes) => {
                stream.write_all(bytes.as_bytes()).await?;
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
            Then::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
}

/// Returns a complete response with a short body.
pub(crate) fn response(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A resolver that returns its answers in turn, and the last answer from then on. It counts the lookups.
pub(crate) struct Scripted {
    answers: Mutex<Vec<io::Result<Vec<IpAddr>>>>,
    names: Mutex<Vec<String>>,
}

impl Scripted {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| Ok(answer.iter().map(|address| address.parse().unwrap()).collect());
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parse).collect()), names: Mutex::default() })
    }

    pub(crate) fn failing() -> Arc<Self> {
        let answers = vec![Err(io::Error::other("no such name"))];
        Arc::new(Self { answers: Mutex::new(answers), names: Mutex::default() })
    }

    /// Returns the names that were looked up.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }
}

#[async_trait]
impl NameResolver for Scripted {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.names.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let is_last = answers.len() == 1;
        match &answers[0] {
            Ok(answer) if is_last => Ok(answer.clone()),
            Err(error) if is_last => Err(io::Error::other(error.to_string())),
            _ => answers.remove(0),
        }
    }
}

/// Returns a policy that allows these hosts.
pub(crate) fn allowing(hosts: &[String]) -> EgressPolicy {
    let allowed_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    EgressPolicy { allowed_hosts, allow_loopback: false }
}

/// Returns a policy that allows this machine.
pub(crate) fn demo() -> EgressPolicy {
    EgressPolicy { allowed_hosts: Vec::new(), allow_loopback: true }
}

pub(crate) fn client_with(
    policy: EgressPolicy,
    options: &EgressOptions,
    names: Arc<impl NameResolver>,
) -> EgressClient {
    EgressClient::new(policy, options, names).unwrap()
}

pub(crate) fn client(policy: EgressPolicy, names: Arc<Scripted>) -> EgressClient {
    client_with(policy, &ample(), names)
}

pub(crate) fn ample() -> EgressOptions {
    EgressOptions { connect_timeout: AMPLE, total_timeout: AMPLE, ..EgressOptions::default() }
}

/// Sends a request to a URL without a check by the caller, as to a stored URL.
pub(crate) async fn post(client: &EgressClient, url: &str) -> EgressAttempt {
    let headers = vec![("content-type", "application/json".to_owned()), ("webhook-id", "id-1".to_owned())];
    let request = EgressRequest { url: TargetUrl::from_checked(url.to_owned()), headers, body: BODY.into() };
    client.post(request).await
}

pub(crate) async fn reply(client: &EgressClient, url: &str) -> EgressReply {
    post(client, url).await.outcome.unwrap_or_else(|failure| panic!("{url}: {failure:?}"))
}

/// Sends a request that must fail with this class, and returns the failure.
pub(crate) async fn failure(client: &EgressClient, url: &str, kind: EgressFailureKind) -> EgressFailure {
    let failure = post(client, url).await.outcome.unwrap_err();
    assert_eq!(failure.kind, kind, "{url}: {failure:?}");
    failure
}
