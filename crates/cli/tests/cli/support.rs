//! Servers and commands as child processes, and the shared menus.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use dabba_sim::Client;
use dabba_testkit::{PATIENCE, eventually_blocking, http_client};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

/// Arguments that switch off the limits of accounts, because many tests do much with the demo's only customer. A later
/// flag overrides each of them.
const WITHOUT_LIMITS: [(&str, &str); 4] = [
    ("DABBA_OPEN_ORDERS_LIMIT", "0"),
    ("DABBA_CUSTOMER_WRITES_LIMIT", "0"),
    ("DABBA_CUSTOMER_BODY_KIB_LIMIT", "0"),
    ("DABBA_STAFF_WRITES_LIMIT", "0"),
];

/// Returns the binary with these arguments, without settings in the environment and without limits of accounts. A server
/// listens on a free port, unless an argument says otherwise: other programs may use the default port.
pub(crate) fn dabba(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dabba"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DABBA_") {
            command.env_remove(name);
        }
    }
    command.envs(WITHOUT_LIMITS);
    if arguments.first() == Some(&"serve") {
        command.env("DABBA_LISTEN", "127.0.0.1:0");
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    dabba(directory, arguments).output().unwrap()
}

/// Returns the standard output of a command, which must succeed.
pub(crate) fn stdout(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the standard error of a command, which must fail without a panic.
pub(crate) fn failure(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}: {:?} {text}", output.status);
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A process that runs until it is stopped. Killed when dropped.
struct Process(Child);

impl Process {
    /// Starts a process, and waits for the first line that it prints.
    fn start(directory: &Path, arguments: &[&str]) -> (Self, String) {
        Self::start_with(directory, arguments, &[])
    }

    /// Starts a process with these environment variables, and waits for the first line that it prints.
    fn start_with(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Self, String) {
        let mut command = dabba(directory, arguments);
        command.envs(variables.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn wait(&mut self) -> ExitStatus {
        eventually_blocking("the process ends", || self.0.try_wait().unwrap().ok_or("it runs"))
    }

    fn stop(mut self, signal: &str) {
        self.signal(signal);
        let status = self.wait();
        assert!(status.success(), "{status}");
    }

    fn kill(mut self) {
        self.signal("KILL");
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process of `dabba work`. Killed when dropped.
pub(crate) struct Working {
    process: Process,
    /// First line that the process printed.
    first_line: String,
}

impl Working {
    /// Starts a worker, and waits for its first line.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        let arguments = [&["work", "--data", data.to_str().unwrap()], more].concat();
        let (process, line) = Process::start(data, &arguments);
        assert!(line.starts_with("Dabba processes tasks"), "{line:?}");
        Self { process, first_line: line }
    }

    /// Returns the address of the listener for operators.
    pub(crate) fn address(&self) -> &str {
        let (_, address) = self.first_line.split_once(", metrics at ").unwrap();
        address.trim()
    }

    /// Stops the worker with a signal, and waits for an orderly end.
    pub(crate) fn stop(self, signal: &str) {
        self.process.stop(signal);
    }

    /// Kills the worker, so that it cannot finish anything.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    process: Process,
    /// Its JSON announcement.
    pub(crate) announcement: Value,
}

impl Server {
    /// Starts a server with a demo on the data directory `data`, with further arguments.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", data, more)
    }

    /// Starts a server with a demo at a given address, so that clients find it again after a restart.
    pub(crate) fn start_at(address: &str, data: &Path, more: &[&str]) -> Self {
        Self::serve(data, &[&["--demo", "--listen", address, "--log", "warn"], more].concat())
    }

    /// Starts a server with a demo that writes its log as JSON into a file, with further arguments.
    pub(crate) fn start_logging(data: &Path, log: &Path, more: &[&str]) -> Self {
        let fixed =
            ["serve", "--json", "--demo", "--listen", "127.0.0.1:0", "--log-format", "json", "--data"];
        let mut command = dabba(Path::new("/"), &[&fixed[..], &[data.to_str().unwrap()], more].concat());
        command.stderr(std::fs::File::create(log).unwrap());
        let (process, line) = Process::spawn(command);
        let announcement = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { process, announcement }
    }

    /// Starts a server without a demo on data that had a demo before. `before` is the announcement of the earlier
    /// server, whose tokens are still valid.
    pub(crate) fn start_without_demo(before: &Value, data: &Path, more: &[&str]) -> Self {
        let mut server = Self::serve(data, &[&["--listen", "127.0.0.1:0", "--log", "warn"], more].concat());
        let address = std::mem::replace(&mut server.announcement, before.clone())["address"].take();
        server.announcement["address"] = address;
        server
    }

    /// Starts a server with exactly these arguments.
    pub(crate) fn serve(data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(&[&["serve", "--json", "--data", data.to_str().unwrap()], arguments].concat())
    }

    /// Starts a server with a demo that knows no newer schema than this version.
    pub(crate) fn start_knowing(schema: u32, data: &Path, more: &[&str]) -> Self {
        let fixed = ["serve", "--json", "--demo", "--listen", "127.0.0.1:0", "--log", "warn", "--data"];
        let arguments = [&fixed[..], &[data.to_str().unwrap()], more].concat();
        Self::spawn_with(&arguments, &[("DABBA_TEST_KNOWN_SCHEMA", &schema.to_string())])
    }

    /// Starts a command that prints its address as JSON.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, &[])
    }

    fn spawn_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::announced(Process::start_with(Path::new("/"), arguments, variables))
    }

    /// Starts a server with a demo and the default limits of accounts.
    pub(crate) fn start_with_limits(data: &Path) -> Self {
        let arguments = ["serve", "--json", "--demo", "--listen", "127.0.0.1:0", "--log", "warn", "--data"];
        let mut command = dabba(Path::new("/"), &[&arguments[..], &[data.to_str().unwrap()]].concat());
        for (name, _) in WITHOUT_LIMITS {
            command.env_remove(name);
        }
        Self::announced(Process::spawn(command))
    }

    fn announced((process, line): (Process, String)) -> Self {
        let announcement = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in the announcement: {line:?}"));
        Self { process, announcement }
    }

    /// Returns a text of the announcement.
    pub(crate) fn announced_text(&self, pointer: &str) -> String {
        let found = self.announcement.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {}", self.announcement)).to_owned()
    }

    /// Returns the path of the orders of the demo's restaurant.
    pub(crate) fn orders_path(&self) -> String {
        format!("/v1/restaurants/{}/orders", self.announced_text("/restaurant_id"))
    }

    /// Places the order of the announcement under a key. Returns the order.
    pub(crate) async fn place(&self, key: &str) -> Value {
        let call = self.client("customer").post(&self.orders_path()).idempotency_key(key);
        call.json(&self.announcement["order"]).send().await.unwrap().body
    }

    /// Places the order of the announcement under a key. Returns the id of the order.
    pub(crate) async fn place_for_id(&self, key: &str) -> String {
        self.place(key).await["id"].as_str().unwrap().to_owned()
    }

    /// Returns a client with the token of this role.
    pub(crate) fn client(&self, role: &str) -> Client {
        Client::new(&self.announced_text("/address"))
            .unwrap()
            .with_token(&self.announced_text(&format!("/tokens/{role}")))
    }

    /// Sends a readiness probe, and returns the status of the response.
    pub(crate) async fn readiness(&self) -> u16 {
        let url = format!("{}/readyz", self.announced_text("/address"));
        http_client().get(url).send().await.unwrap().status().as_u16()
    }

    /// Returns the id of the server's process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends a signal, given by name.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until the server has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Stops the server, and waits for an orderly end.
    pub(crate) fn stop(self) {
        self.process.stop("TERM");
    }

    /// Kills the server, so that it cannot finish anything.
    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// Sets a flag when dropped, also by a panic: a `thread::scope` of a failed test waits for all threads, so each of them
/// must stop at this flag.
pub(crate) struct StopWhenDropped<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until a value that another thread changes meets the condition. Returns whether it does: false after
/// [`PATIENCE`], and as soon as the other thread has ended.
pub(crate) fn becomes<T>(value: &watch::Receiver<T>, holds: impl FnMut(&T) -> bool) -> bool {
    let mut value = value.clone();
    block_on(async { timeout(PATIENCE, value.wait_for(holds)).await.is_ok_and(|found| found.is_ok()) })
}

/// Returns a local address without a listener, each time another one. Its port is below those that the system assigns
/// to connections and to listeners on port 0, so nothing takes the port before the test does.
pub(crate) fn free_address() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let next = |_| {
        let port = 10_000 + (std::process::id() + TAKEN.fetch_add(1, Ordering::Relaxed)) % 10_000;
        format!("127.0.0.1:{port}")
    };
    let is_free = |address: &String| std::net::TcpListener::bind(address).is_ok();
    (0..10_000).map(next).find(is_free).unwrap()
}

/// Returns a file of the shared menus, which are beside the checkout or in the directory `DABBA_SHARED`.
pub(crate) fn shared_menu(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DABBA_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("menus").join(name);
    assert!(
        path.is_file(),
        "{} is missing: put the shared directory beside the checkout, or name it in DABBA_SHARED",
        path.display()
    );
    path
}

/// Runs the requests of a test on a new runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
