//! The `dabba` binary, which wires all crates together.
//!
//! Each command is a file in `commands`. A new command needs such a file, a variant of `commands::Command`, and a line
//! in the README.

mod background;
mod broker;
mod build;
mod child;
mod commands;
mod data;
mod databases;
mod demo_data;
mod failure;
mod key_file;
mod listening;
mod logging;
mod named_file;
mod open_files;
mod output;
mod payments;
mod permissions;
mod process_metrics;
mod redaction;
mod sandbox;
mod secrets_key;
mod serving;
mod settings;
mod signals;
mod signing_key;
mod tls;
mod webhooks;

use std::process::ExitCode;

use rustix::{fs::Mode, process::umask};

/// The system's allocator is slower for many small allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Only the owner may access the files and directories that Dabba creates: most hold secrets or personal data. Child
    // processes inherit the mask.
    umask(Mode::RWXG | Mode::RWXO);
    let ended = match commands::Cli::from_arguments() {
        Ok(command) => command.run().map(|()| ExitCode::SUCCESS),
        Err(error) => commands::help::print(error),
    };
    match ended {
        Ok(status) => status,
        Err(failure) => {
            if !failure.is_silent() {
                output::note(&failure);
            }
            ExitCode::from(failure.exit_status())
        }
    }
}
