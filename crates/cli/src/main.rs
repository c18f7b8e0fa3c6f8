//! The `dabba` binary: the one place where everything is wired together.
//!
//! Each command is a file in `commands`. To add one: such a file, its variant in
//! `commands::Command`, and a line in the README.

mod background;
mod build;
mod child;
mod commands;
mod data;
mod databases;
mod demo_data;
mod failure;
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
mod serving;
mod settings;
mod signals;
mod signing_key;

use std::process::ExitCode;

use rustix::{fs::Mode, process::umask};

/// Many small allocations on many threads: this allocator serves them better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Files and directories are for their owner only: most hold secrets or personal data. Children inherit it.
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
