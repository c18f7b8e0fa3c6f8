//! `dabba watch`.

use std::{
    fs::{self, File},
    process::Child,
};

use dabba_testkit::eventually_blocking;
use tempfile::TempDir;

use super::support::{Server, block_on, dabba, failure, free_address};

/// A process of `dabba watch`, whose output goes to files. Killed when dropped.
struct Watching {
    process: Child,
    directory: TempDir,
}

impl Watching {
    fn start(server: &Server) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (address, token) = (server.announced_text("/address"), server.announced_text("/tokens/admin"));
        let mut command = dabba(directory.path(), &["watch", "--server", &address]);
        command.env("DABBA_TOKEN", token);
        command.stdout(File::create(directory.path().join("events")).unwrap());
        command.stderr(File::create(directory.path().join("notes")).unwrap());
        Self { process: command.spawn().unwrap(), directory }
    }

    /// Waits until at least as many lines of a file contain a text.
    fn wait_for(&self, file: &str, text: &str, lines: usize) {
        eventually_blocking("the command prints it", || {
            if self.count(file, text) >= lines { Ok(()) } else { Err(self.printed(file)) }
        });
    }

    fn count(&self, file: &str, text: &str) -> usize {
        self.printed(file).lines().filter(|line| line.contains(text)).count()
    }

    fn printed(&self, file: &str) -> String {
        fs::read_to_string(self.directory.path().join(file)).unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Proves that the command prints the events with the ids of their orders, that it states each connection and the
/// reason of an interruption, and that it goes on after a restart of the server.
#[test]
fn events_are_printed_across_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let address = free_address();
    let server = Server::start_at(&address, data.path(), &[]);
    let watching = Watching::start(&server);
    watching.wait_for("notes", "connected to http://", 1);
    let first = block_on(server.place_for_id("1"));
    watching.wait_for("events", &format!("  order {first}  restaurant "), 2);
    watching.wait_for("events", "  placed", 1);
    server.stop();
    watching.wait_for("notes", "(shutdown)", 1);

    let server = Server::start_at(&address, data.path(), &[]);
    watching.wait_for("notes", "connected again to http://", 1);
    let second = block_on(server.place_for_id("2"));
    watching.wait_for("events", &format!("  order {second}  restaurant "), 2);
    watching.wait_for("events", "  placed", 2);
    assert_eq!(watching.count("events", "  placed"), 2, "{}", watching.printed("events"));
}

/// Proves that the command ends if no server answers at first, and says what to do, also about a display code.
#[test]
fn a_wrong_address_ends_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("http://{}", free_address());
    let text = failure(directory.path(), &["watch", "--server", &address, "--token", "t"]);
    assert!(text.contains("no response from") && text.contains("--server URL"), "{text}");
    let text = failure(directory.path(), &["watch", "--order", "TZT5G", "--token", "t"]);
    assert!(text.contains("--order <ID>") && text.contains("UUID"), "{text}");
}
