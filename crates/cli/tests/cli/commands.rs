//! Rules for all commands: help, output, exit statuses and side effects.

use std::{
    io::{BufRead as _, BufReader},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::Stdio,
};

use dabba_pg_cluster::Cluster;
use serde_json::Value;

use super::support::{Server, block_on, dabba, failure, run, stdout};

/// Maximum width of tables.
const WIDTH: usize = 80;

/// Proves that commands that read or change existing data create no database: with a misspelt directory, and with an empty
/// PostgreSQL database.
#[test]
fn a_misspelt_directory_creates_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let menu = directory.path().join("menu.json");
    std::fs::write(&menu, include_str!("../../demo/harbour-noodles.json")).unwrap();
    let menu = menu.to_str().unwrap();
    let id = "0195c2d4-0000-7000-8000-000000000000";
    let commands = [
        &["tasks"][..],
        &["tasks", "retry", id],
        &["tasks", "resolve", id, "--reason", "done by hand"],
        &["audit"],
        &["work"],
        &["backup", "copy.backup"],
        &["import-menu", menu],
        &["copy", "--to", "postgresql://127.0.0.1:1/dabba"],
    ];
    for arguments in commands {
        let text = failure(directory.path(), &[arguments, &["--data", "typo"]].concat());
        assert!(
            text.contains("there is no database at typo/dabba.db") && text.contains("--data"),
            "{arguments:?}: {text}"
        );
        assert!(text.contains("dabba migrate"), "{arguments:?}: {text}");
        assert!(!directory.path().join("typo").exists(), "{arguments:?} created the directory");
    }
    let text = failure(directory.path(), &["token", "--role", "admin", "--data", "typo"]);
    assert!(text.contains("there is no signing key at typo/signing-key"), "{text}");
    assert!(!directory.path().join("typo").exists());

    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    for arguments in [&["tasks"][..], &["audit"], &["import-menu", menu]] {
        let text = failure(directory.path(), &[arguments, &["--database", &cluster.url(&database)]].concat());
        assert!(text.contains("run `dabba migrate`"), "{arguments:?}: {text}");
    }
    let tables = cluster
        .execute(&database, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace");
    assert_eq!(tables.unwrap().trim(), "0");
}

/// Returns a standard output whose reader has closed it: the first write fails with EPIPE, as for a pipe.
///
/// A closed pipe would not do. The reader's end of a pipe may be open for a while longer in a process that another test of this
/// program is starting. A shutdown applies to all copies of a socket.
fn closed_output() -> Stdio {
    let (reader, output) = UnixStream::pair().unwrap();
    reader.shutdown(Shutdown::Both).unwrap();
    OwnedFd::from(output).into()
}

/// Proves that a command ends silently if the reader closes standard output, with the status that a shell reports for SIGPIPE.
#[test]
fn a_command_ends_silently_when_its_reader_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let simulate = ["simulate", "--seed", "1", "--orders", "10"];
    for arguments in
        [&["settings"][..], &["openapi"], &["version"], &["completions", "bash"], &["migrate"], &simulate]
    {
        let output = dabba(directory.path(), arguments).stdout(closed_output()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {text}");
        assert!(!text.contains("panicked") && !text.contains("dabba: "), "{arguments:?}: {text}");
    }
    // clap prints the help.
    let output = dabba(directory.path(), &["--help"]).stdout(closed_output()).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(141));
}

/// Proves that a command fails with a message if its output cannot be written, for each source of the output.
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in
        [&["--help"][..], &["--version"], &["shards", "split", "--help"], &["settings"], &["openapi"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = dabba(directory.path(), arguments).stdout(full).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("writing to standard output: No space left"), "{arguments:?}: {text}");
    }
}

/// Proves the messages for a damaged database and for a data directory that is a file.
#[test]
fn a_damaged_database_and_a_wrong_directory_have_their_own_messages() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dabba-data/dabba.db");
    std::fs::create_dir(directory.path().join("dabba-data")).unwrap();
    std::fs::write(&file, "no database at all ".repeat(500)).unwrap();
    for arguments in [&["tasks"][..], &["accounts", "list"], &["serve", "--listen", "127.0.0.1:0"]] {
        let text = failure(directory.path(), arguments);
        assert!(text.contains("dabba.db") && !text.contains("--server"), "{arguments:?}: {text}");
        assert!(text.contains("not a database"), "{arguments:?}: {text}");
        let text = failure(directory.path(), &[arguments, &["--data", "dabba-data/dabba.db"]].concat());
        assert!(
            text.contains("data must be a directory") && !text.contains("chmod"),
            "{arguments:?}: {text}"
        );
    }
}

/// Proves that a server continues after the reader of its log has gone away.
#[test]
fn a_server_outlives_the_reader_of_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--json", "--listen", "127.0.0.1:0", "--log", "trace"];
    let mut child =
        dabba(directory.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let announcement: Value = serde_json::from_str(&line).unwrap();
    let client = dabba_sim::Client::new(announcement["address"].as_str().unwrap()).unwrap();
    for _ in 0..3 {
        let answer = block_on(async { client.get("/readyz").send().await.unwrap() });
        assert_eq!(answer.status, 200);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Proves that the completion script of every shell names commands and options.
#[test]
fn completions_name_the_commands() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(directory.path(), &["completions", shell]);
        for name in ["import-menu", "simulate-payments", "take-back"] {
            assert!(script.contains(name), "{shell} lacks {name}");
        }
    }
    assert!(failure(directory.path(), &["completions", "dos"]).contains("bash"));
    let script = stdout(directory.path(), &["completions", "bash"]);
    let path = directory.path().join("dabba.bash");
    std::fs::write(&path, script).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(&path).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_version_is_printed_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let version: Value = serde_json::from_str(&stdout(directory.path(), &["version", "--json"])).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(["debug", "release"].contains(&version["profile"].as_str().unwrap()), "{version}");
    assert!(version["rustc"].as_str().unwrap().starts_with("rustc "), "{version}");
    assert!(version["commit"].as_str().is_some_and(|commit| !commit.is_empty()), "{version}");
    for store in ["sqlite", "postgresql"] {
        assert!(version["schemas"][store].as_u64().unwrap() > 0, "{version}");
    }
    assert_eq!(version["pages"], dabba_pages::Content::EMBEDDED.is_built());
    let text = stdout(directory.path(), &["version"]);
    for part in [version["commit"].as_str().unwrap(), version["rustc"].as_str().unwrap()] {
        assert!(text.contains(part), "{text}");
    }
}

/// Proves that a server and the simulated provider resolve the name of a host, and that a failure names the address
/// and, for a port in use, the option that gives another address.
#[test]
fn an_address_to_listen_on_may_be_a_name() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    for arguments in [&["serve", "--data", path, "--admin-listen", "localhost:0"][..], &["simulate-payments"]]
    {
        let listening = [arguments, &["--json", "--listen", "localhost:0"]].concat();
        let server = Server::spawn(&listening);
        let address = server.announced_text("/address");
        let port = address.rsplit(':').next().unwrap();
        let taken = format!("localhost:{port}");
        let text = failure(data.path(), &[arguments, &["--listen", &taken]].concat());
        assert!(text.contains("another process uses ") && text.contains(&format!("({taken})")), "{text}");
        assert!(text.contains("give another address with --listen"), "{text}");
        let text = failure(data.path(), &[arguments, &["--listen", "nowhere.invalid:1"]].concat());
        assert!(text.contains("nowhere.invalid:1") && text.contains("no address"), "{text}");
        let text = failure(data.path(), &[arguments, &["--listen", "localhost"]].concat());
        assert!(text.contains("must be HOST:PORT"), "{text}");
        server.stop();
    }
}

/// Proves the documented exit statuses.
#[test]
fn exit_statuses_tell_a_wrong_command_line_from_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let status = |arguments: &[&str]| run(directory.path(), arguments).status.code();
    assert_eq!(status(&["version"]), Some(0));
    assert_eq!(status(&["audit"]), Some(1));
    assert_eq!(status(&["audti"]), Some(2));
    assert_eq!(status(&["serve", "--listen", "nowhere"]), Some(2));
    assert_eq!(status(&[]), Some(2));
}

fn assert_fits(directory: &Path, arguments: &[&str]) {
    let output = run(directory, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{arguments:?}");
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{arguments:?}: {} characters: {line}", line.chars().count());
    }
}

/// Proves that tables and help fit 80 columns.
#[test]
fn tables_fit_eighty_columns() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["bench", "--help"],
        &["shards", "--help"],
        &["shards", "split", "--help"],
        &["demo", "--help"],
        &["version"],
    ] {
        assert_fits(directory.path(), arguments);
    }
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    stdout(directory.path(), &["migrate", "--database", &url]);
    assert_fits(directory.path(), &["shards", "--database", &url]);
    assert_fits(
        directory.path(),
        &["bench", "--seconds", "1", "--rate", "10", "--connections", "2", "--skip-audit"],
    );
}

/// Proves that these commands print their results as JSON.
#[test]
fn results_are_printed_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let json = |arguments: &[&str]| -> Value {
        let text = stdout(directory.path(), &[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    };
    let migrated = json(&["migrate"]);
    assert_eq!(migrated["database"], "dabba-data/dabba.db");
    assert!(migrated["migrations"].as_u64().unwrap() > 0, "{migrated}");
    assert_eq!(json(&["migrate"])["migrations"], 0);
    let backup = json(&["backup", "copy.backup"]);
    assert_eq!((&backup["file"], &backup["orders"]), (&"copy.backup".into(), &0.into()));
    let restored = json(&["restore", "copy.backup", "--replace"]);
    assert_eq!((&restored["file"], &restored["accounts"]), (&"dabba-data/dabba.db".into(), &0.into()));
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    json(&["migrate", "--database", &url]);
    Server::start(&directory.path().join("demo-data"), &[]).stop();
    let target = cluster.url(&cluster.create_database().unwrap());
    for is_first in [true, false] {
        let copied = json(&["copy", "--to", &target, "--data", "demo-data"]);
        assert!(copied["copied_at"].is_string() && copied["tables"]["restaurants"] == 3, "{copied}");
        assert_eq!(copied["breaches"].is_u64(), is_first, "{copied}");
    }
    let purged = json(&["shards", "purge", "--database", &url]);
    assert_eq!(purged["name"], "main");
    assert!(
        purged["removed"].as_object().is_some_and(|removed| removed.values().all(|rows| rows == 0)),
        "{purged}"
    );
    assert_eq!(json(&["shards", "restored", "--database", &url])["name"], "main");
}

/// Proves that each run of `dabba shards restored` gives the database another incarnation, and that an unknown shard is
/// refused.
#[test]
fn a_restored_database_gets_a_new_incarnation() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    stdout(directory.path(), &["migrate", "--database", &url]);
    let incarnation = || cluster.execute(&database, "SELECT incarnation FROM feed_state").unwrap();
    let mut seen = vec![incarnation()];
    for arguments in [&[][..], &["--shard", "main"]] {
        let run = [&["shards", "restored", "--database", &url], arguments].concat();
        let text = stdout(directory.path(), &run);
        assert!(text.contains("has a new incarnation"), "{text}");
        assert!(!seen.contains(&incarnation()), "{seen:?}");
        seen.push(incarnation());
    }
    let unknown = ["shards", "restored", "--database", &url, "--shard", "north"];
    let text = failure(directory.path(), &unknown);
    assert!(text.contains("there is no shard \"north\"; the shards are main"), "{text}");
    assert_eq!(incarnation(), seen[2]);
}

/// Proves that several servers with a demo can start concurrently on an empty database and create a single demo.
#[test]
fn several_demos_start_at_once_on_one_database() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starting = [(); 4].map(|()| {
            scope.spawn(|| {
                let data = tempfile::tempdir().unwrap();
                Server::start(data.path(), &["--database", &url])
            })
        });
        starting.into_iter().map(|starting| starting.join().unwrap()).collect()
    });
    let restaurants: Vec<String> =
        servers.iter().map(|server| server.announced_text("/restaurant_id")).collect();
    assert!(restaurants.iter().all(|restaurant| *restaurant == restaurants[0]), "{restaurants:?}");
    let counts = "SELECT (SELECT count(*) FROM accounts) || ' ' || (SELECT count(*) FROM restaurants)";
    assert_eq!(cluster.execute(&database, counts).unwrap().trim(), "4 3");
}

/// Proves that no demo is added to a database with real orders.
#[test]
fn a_demo_is_not_added_among_real_orders() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let server = Server::start(data.path(), &[]);
    block_on(server.place("one"));
    server.stop();
    // An existing demo is found again.
    Server::start(data.path(), &[]).stop();
    let database = rusqlite::Connection::open(data.path().join("dabba.db")).unwrap();
    database
        .execute("UPDATE accounts SET email = 'chief@example.org' WHERE email = 'admin@dabba.example'", [])
        .unwrap();
    drop(database);
    let text = failure(data.path(), &["serve", "--demo", "--listen", "127.0.0.1:0", "--data", path]);
    assert!(text.contains("has orders and no demo") && text.contains("without --demo"), "{text}");
}
