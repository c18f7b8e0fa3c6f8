//! A NATS server with JetStream in a process of its own, which a test can kill, and whose store a test can damage.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::{
    self,
    context::Context,
    stream::{Config, Stream},
};
use tempfile::TempDir;

use crate::{eventually_blocking, files_below};

/// Timeout for the server's greeting.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// A NATS server with JetStream on a free port of the loopback address. The server ends, and its files are removed, when the value
/// is dropped.
pub struct NatsServer {
    directory: TempDir,
    settings: String,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server that accepts every client.
    pub fn start() -> Self {
        Self::start_with(|_| String::new())
    }

    /// Starts a server with more settings, which `settings` returns; `settings` may write files into the directory that it receives.
    pub fn start_with(settings: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the NATS server");
        let settings = settings(directory.path());
        let mut server = Self { directory, settings, port: 0, child: None };
        server.launch();
        server
    }

    /// Returns the address, `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the URL.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Kills the server, so that it cannot write anything more.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killing the NATS server should succeed");
            child.wait().expect("the NATS server should end");
        }
    }

    /// Starts the server again on the same port, with its remaining store.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Removes the last `bytes` bytes of a stream's last block, as a lost machine would that had not yet written them to its disk.
    /// The server must not run. Returns the number of removed bytes, which is smaller for a small block.
    pub fn truncate_last_block(&self, stream: &str, bytes: u64) -> u64 {
        assert!(self.child.is_none(), "the server still runs");
        let blocks = files_below(&self.store().join("jetstream/$G/streams").join(stream).join("msgs"));
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        let last = blocks
            .iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "blk"))
            .max_by_key(|path| number(path))
            .expect("the stream should have a block");
        let block = fs::OpenOptions::new().write(true).open(last).expect("opening the block should succeed");
        let length = block.metadata().expect("the block's metadata").len();
        let kept = length.saturating_sub(bytes);
        block.set_len(kept).expect("truncating the block should succeed");
        length - kept
    }

    /// Removes the whole store. The server must not run.
    pub fn remove_store(&self) {
        assert!(self.child.is_none(), "the server still runs");
        fs::remove_dir_all(self.store()).expect("removing the store should succeed");
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn launch(&mut self) {
        let path = self.directory.path();
        // With port -1, the server chooses a free port and writes it into a file.
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{}\"\njetstream {{ store_dir: \"{}\" }}\n{}\n",
            path.display(),
            self.store().display(),
            self.settings
        );
        let file = path.join("nats.conf");
        fs::write(&file, configuration).expect("writing the configuration should succeed");
        let log = fs::File::create(path.join("log")).expect("creating the log should succeed");
        let child = Command::new(program())
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starting nats-server should succeed");
        let ports = path.join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let port = eventually_blocking("the NATS server listens", || self.greeted(&ports));
        self.port = port;
    }

    /// Returns the port of a server that greets its clients, and otherwise what is wrong.
    fn greeted(&mut self, ports: &Path) -> Result<u16, String> {
        let log = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            panic!("nats-server ended with {status}:\n{}", log());
        }
        let text = fs::read_to_string(ports).map_err(|error| format!("{}: {error}", ports.display()))?;
        let ports: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let url = ports["nats"][0].as_str().ok_or("no port for clients")?;
        let port = url.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).ok_or("no port")?;
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(GREETING_TIMEOUT)).map_err(|error| error.to_string())?;
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting).map_err(|error| error.to_string())?;
        // A server whose JetStream still recovers its store accepts clients already.
        let is_ready = greeting.starts_with("INFO ") && log().contains("Server is ready");
        if is_ready { Ok(port) } else { Err(format!("greeted with {greeting}")) }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A message in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsMessage {
    /// The subject.
    pub subject: String,
    /// The header `Nats-Msg-Id`.
    pub id: Option<String>,
    /// The header `Dabba-Place`.
    pub place: Option<String>,
    /// The content.
    pub content: Vec<u8>,
}

async fn jetstream(url: &str) -> Context {
    jetstream::new(async_nats::connect(url).await.expect("connecting to the NATS server should succeed"))
}

/// Returns a stream.
pub async fn nats_stream(url: &str, stream: &str) -> Stream {
    jetstream(url).await.get_stream(stream).await.expect("the stream should exist")
}

/// Creates a stream that recognizes duplicates for this time.
pub async fn create_nats_stream(url: &str, stream: &str, subjects: &str, duplicate_window: Duration) {
    let (name, subjects) = (stream.to_owned(), vec![subjects.to_owned()]);
    let config = Config { name, subjects, duplicate_window, ..Config::default() };
    jetstream(url).await.create_stream(config).await.expect("creating the stream should succeed");
}

/// Returns all messages in a stream, in order.
pub async fn nats_messages(url: &str, stream: &str) -> Vec<NatsMessage> {
    let stream = nats_stream(url, stream).await;
    let state = stream.cached_info().state.clone();
    let mut messages = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        // Messages were removed at the ends of the stream only.
        let message = stream.get_raw_message(sequence).await.expect("the message should exist");
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
        messages.push(NatsMessage {
            subject: message.subject.to_string(),
            id: header("Nats-Msg-Id"),
            place: header("Dabba-Place"),
            content: message.payload.to_vec(),
        });
    }
    assert_eq!(messages.len() as u64, state.messages);
    messages
}

/// Returns the path of the server's program. Debian installs it in a directory that is not on every user's path.
fn program() -> PathBuf {
    let on_path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&on_path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|directory| directory.join("nats-server"))
        .find(|path| path.is_file())
        .expect("nats-server is missing; on Debian: sudo apt-get install nats-server")
}
