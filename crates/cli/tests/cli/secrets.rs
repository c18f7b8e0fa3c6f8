//! Permissions of files, and secrets that Dabba must not write.

use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dabba_pg_cluster::Cluster;
use dabba_sim::Client;
use dabba_testkit::eventually;
use serde_json::{Value, json};

use super::support::{block_on, dabba, failure, stdout};

/// A server whose log goes to a file. Killed when dropped.
struct Logged {
    child: Child,
    announcement: Value,
}

impl Logged {
    fn start(directory: &Path, arguments: &[&str], log: &Path) -> Self {
        let mut child =
            dabba(directory, &[&["serve", "--json", "--listen", "127.0.0.1:0"], arguments].concat())
                .stdout(Stdio::piped())
                .stderr(File::create(log).unwrap())
                .spawn()
                .unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        let announcement =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", fs::read_to_string(log).unwrap()));
        Self { child, announcement }
    }

    fn said(&self, pointer: &str) -> &str {
        self.announcement.pointer(pointer).and_then(Value::as_str).unwrap()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const EMAIL: &str = "wendeline.secretive@mail.example";
const NAME: &str = "Wendeline Secretive";
const PASSWORD: &str = "hush-hush-9317";
const STREET: &str = "77 Unseen Crescent";
const PHONE: &str = "+44 20 7946 0712";
const DOOR: &str = "key under the ninth flowerpot";

/// Creates an API key and uses it, valid, revoked and with a typo. Returns the secret part of the key.
async fn use_keys(client: &Client, server: &Logged) -> [String; 1] {
    let admin = client.with_token(server.said("/tokens/admin"));
    let body = json!({"name": "Till", "role": "courier"});
    let account = admin.post("/v1/service-accounts").json(&body).send().await.unwrap().body;
    let path = format!("/v1/accounts/{}/keys", account["id"].as_str().unwrap());
    let created = admin.post(&path).json(&json!({"name": "Till"})).send().await.unwrap().body;
    let secret = created["secret"].as_str().unwrap();
    let of_key = client.with_token(secret);
    of_key.get("/v1/accounts/me").send().await.unwrap();
    client.with_token(&format!("{secret}x")).get("/v1/accounts/me").send().await.unwrap_err();
    admin.delete(&format!("{path}/{}", created["id"].as_str().unwrap())).send().await.unwrap();
    of_key.get("/v1/accounts/me").send().await.unwrap_err();
    [secret["dk_".len()..].to_owned()]
}

/// Registers, logs in, and places a card order to an address. Returns the texts that the log must not contain.
async fn walk(client: &Client, server: &Logged) -> Vec<String> {
    let wrong = json!({"email": EMAIL, "password": "wrong-hush-4411"});
    client.post("/v1/tokens").json(&wrong).send().await.unwrap_err();
    let account = json!({"email": EMAIL, "name": NAME, "password": PASSWORD});
    client.post("/v1/accounts").json(&account).send().await.unwrap();
    let login = json!({"email": EMAIL, "password": PASSWORD});
    let token = client.post("/v1/tokens").json(&login).send().await.unwrap().body["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    client.post("/v1/tokens").json(&wrong).send().await.unwrap_err();
    client.with_token("forged-4411.token").get("/v1/accounts/me").send().await.unwrap_err();
    let customer = client.with_token(&token);
    let me = customer.get("/v1/accounts/me").send().await.unwrap().body;
    assert_eq!(me["email"], EMAIL);

    let mut order = server.announcement["order"].clone();
    order["fulfilment"]["address"]["line1"] = STREET.into();
    order["fulfilment"]["address"]["instructions"] = DOOR.into();
    order["contact"] = json!({"name": NAME, "phone": PHONE});
    order["payment_method"] = "card".into();
    order["payment_token"] = "tok_succeed".into();
    let path = format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"));
    let placed = customer.post(&path).idempotency_key("key-4411").json(&order).send().await.unwrap().body;
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    eventually("the order is confirmed", async || {
        let read = customer.get(&path).send().await.unwrap().body;
        assert_eq!(read["fulfilment"]["address"]["line1"], STREET);
        if read["status"] == "confirmed" { Ok(()) } else { Err(read) }
    })
    .await;
    let staff = client.with_token(server.said("/tokens/restaurant"));
    staff.get(&format!("/v1/restaurants/{}/orders", server.said("/restaurant_id"))).send().await.unwrap();
    let keys = use_keys(client, server).await;
    let mut secrets: Vec<String> =
        [EMAIL, NAME, PASSWORD, STREET, PHONE, DOOR, "hush-4411", "forged-4411", "$argon2", "tok_succeed"]
            .map(str::to_owned)
            .into();
    secrets.extend(keys);
    // The signature is the part of a token that cannot be guessed.
    for token in [token.as_str(), server.said("/tokens/restaurant"), server.said("/tokens/admin")] {
        secrets.push(token.rsplit('.').next().unwrap().to_owned());
    }
    secrets
}

/// Proves that the most detailed log, of Dabba and of its libraries, contains no secret and no personal data, on either store.
#[test]
fn the_most_detailed_log_contains_no_secret() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap()).replacen('@', ":pg-hush-4411@", 1);
    for database in [None, Some(&url)] {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut arguments =
            vec!["--demo", "--log", "trace,tokio_postgres=trace,hyper=trace,reqwest=trace,rusqlite=trace"];
        arguments.extend(database.iter().flat_map(|url| ["--database", url.as_str()]));
        let server = Logged::start(directory.path(), &arguments, &log);
        let client = Client::new(server.said("/address")).unwrap();
        let mut secrets = block_on(walk(&client, &server));
        let key = fs::read_to_string(directory.path().join("dabba-data/signing-key")).unwrap();
        secrets.extend([key.trim().to_owned(), "pg-hush".to_owned(), "customer@dabba.example".to_owned()]);
        drop(server);
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("\"answered\""), "{log}");
        for line in log.lines() {
            let found = secrets.iter().find(|secret| line.contains(secret.as_str()));
            assert_eq!(found, None, "{line}");
        }
        if database.is_some() {
            assert!(log.contains("the arguments of this process contain a password"), "{log}");
        }
    }
}

/// Returns every file and directory below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            found.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// Proves that only the owner can access files and directories, although the umask would let everybody read and write them.
#[test]
fn written_files_are_private_whatever_the_umask() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("nested/data");
    let shell = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_dabba")]).args(arguments);
        command.current_dir(directory.path());
        command
    };
    let data_path = data.to_str().unwrap();
    let mut child = shell(&[
        "serve",
        "--demo",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--log",
        "warn",
        "--data",
        data_path,
    ])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert!(shell(&["backup", "--data", data_path, "copy.backup"]).status().unwrap().success());
    let open = below(&data);
    let names: Vec<_> = open.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    for name in [
        "dabba.db",
        "dabba.db-wal",
        "dabba.db-shm",
        "dabba.db.lock",
        "signing-key",
        "secrets-key",
        "demo.env",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let backup = [directory.path().join("copy.backup"), directory.path().join("nested")];
    for path in open.iter().chain(&backup) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}: {mode:o}", path.display());
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Proves that each secret that others may read is reported with the command that fixes it, and that nothing is reported after
/// that.
#[test]
fn a_secret_that_others_may_read_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let path = |name: &str| directory.path().join(name);
    let url = "postgresql://u:hush-4411@127.0.0.1:1/dabba";
    fs::write(path("provider key"), "sk_test_1").unwrap();
    fs::write(path("url"), url).unwrap();
    fs::write(path("dabba.toml"), format!("# database = \"{url}\"\n")).unwrap();
    stdout(directory.path(), &["migrate"]);
    fs::write(path("dabba-data/signing-key"), "00").unwrap();
    fs::write(path("dabba-data/secrets-key"), "00").unwrap();
    let files = [
        "dabba-data",
        "dabba-data/dabba.db",
        "dabba-data/signing-key",
        "dabba-data/secrets-key",
        "provider key",
        "url",
        "dabba.toml",
    ];
    let audit = || {
        let output = dabba(directory.path(), &["audit"])
            .env("DABBA_PAYMENT_KEY_FILE", "provider key")
            .env("DABBA_REPLICA_DATABASE", "file:url")
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    for file in files {
        let mode = if file == "dabba-data" { 0o755 } else { 0o644 };
        fs::set_permissions(path(file), Permissions::from_mode(mode)).unwrap();
    }
    let text = audit();
    for line in text.lines().filter(|line| line.contains("; run: ")) {
        let line: Value = serde_json::from_str(line).unwrap();
        let (_, command) = line["message"].as_str().unwrap().split_once("; run: ").unwrap();
        let run = Command::new("sh").args(["-c", command]).current_dir(directory.path()).status().unwrap();
        assert!(run.success(), "{command}");
    }
    for file in files {
        let mode = fs::metadata(path(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if file == "dabba-data" { 0o700 } else { 0o600 }, "{file}: {text}");
    }
    let text = audit();
    assert!(!text.contains("may read") && !text.contains("hush"), "{text}");
}

/// Proves that a URL with a password is accepted from a file without a warning, and among the arguments with a warning.
#[test]
fn a_password_in_a_file_causes_no_warning() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap()).replacen('@', ":hush-4411@", 1);
    fs::write(directory.path().join("url"), format!("{url}\n")).unwrap();
    for (place, is_warned) in [("file:url", false), (url.as_str(), true)] {
        let output = dabba(directory.path(), &["migrate", "--database", place]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains("the arguments of this process contain a password"), is_warned, "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
    let text = failure(directory.path(), &["migrate", "--database", "file:absent"]);
    assert!(text.contains("the file absent cannot be read"), "{text}");
    // The token for a server comes from a file or the environment.
    fs::write(directory.path().join("token"), "hush-4411").unwrap();
    let server = ["tasks", "--server", "http://127.0.0.1:1"];
    let text = failure(directory.path(), &server);
    assert!(text.contains("DABBA_TOKEN") && text.contains("--token-file"), "{text}");
    let empty = dabba(directory.path(), &server).env("DABBA_TOKEN", "").output().unwrap();
    let text = String::from_utf8(empty.stderr).unwrap();
    assert!(text.contains("--server needs a token") && text.contains("--token-file"), "{text}");
    let text = failure(directory.path(), &[&server[..], &["--token-file", "token"]].concat());
    assert!(text.contains("no response") && !text.contains("hush"), "{text}");
    let output = dabba(directory.path(), &server).env("DABBA_TOKEN", "hush-4411").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no response") && !text.contains("hush"), "{text}");
}

/// Proves that a secret can come from a pipe, as a shell passes it, and that a file that may never end is refused.
#[test]
fn a_secret_comes_from_a_pipe_but_not_from_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    let binary = env!("CARGO_BIN_EXE_dabba");
    let tasks = format!("{binary} tasks --server http://127.0.0.1:1");
    let key = "07".repeat(32);
    for (script, expected) in [
        (format!("{tasks} --token-file <(printf hush-4411)"), "no response from"),
        (format!("printf hush-4411 | {tasks} --token-file /dev/stdin"), "no response from"),
        (format!("{tasks} --token-file /dev/stdin < token"), "no response from"),
        (format!("{binary} token --role admin --signing-key-file <(printf {key})"), ""),
        (
            format!("{tasks} --token-file /dev/zero"),
            "the file /dev/zero cannot be read: it is a device or a terminal",
        ),
        (format!("{binary} work --secrets-key-file /dev/zero"), "it is a device or a terminal"),
        (format!("{binary} serve --secrets-key-file /dev/zero"), "it is a device or a terminal"),
        (
            format!("{binary} serve --secrets-key-file socket"),
            "the file socket cannot be read: it is a socket; give a regular file, or a pipe",
        ),
        (
            format!("{binary} work --secrets-key-file /proc/self/mem"),
            "the file /proc/self/mem cannot be read: it shows data of the kernel and is not stored; give a regular file",
        ),
        (
            format!("{tasks} --token-file socket"),
            "--token-file: the file socket cannot be read: it is a socket",
        ),
        (
            format!(
                "{binary} serve --broker nats --broker-url nats://127.0.0.1:1 --broker-ca-file /dev/zero"
            ),
            "broker_ca_file: the file /dev/zero cannot be read: it is not a regular file",
        ),
        (
            format!("mkfifo pipe && {binary} restore pipe"),
            "the file pipe cannot be read: it is not a regular file",
        ),
    ] {
        fs::write(directory.path().join("token"), "hush-4411").unwrap();
        let mut command = Command::new("bash");
        let output = command.args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected) && !text.contains("hush"), "{script}: {text}");
        assert_eq!(output.status.success(), expected.is_empty(), "{script}: {text}");
    }
}

/// Proves that commands that go through a server repeat no secret of its URL.
#[test]
fn no_command_repeats_a_secret_of_a_server_url() {
    let directory = tempfile::tempdir().unwrap();
    for url in ["u:hush@h:80", "http://u:hush@h", "http://127.0.0.1:1/x?token=hush", "http://h#hush", "hush"]
    {
        for command in [&["tasks"][..], &["accounts", "list"], &["bench"]] {
            let text = failure(directory.path(), &[command, &["--server", url]].concat());
            assert!(
                text.contains("--server") && text.contains("http://127.0.0.1:8080"),
                "{command:?}: {text}"
            );
            assert!(url == "hush" || !text.contains("hush"), "{command:?} {url}: {text}");
        }
    }
}
