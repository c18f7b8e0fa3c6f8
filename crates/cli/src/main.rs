//! The `dabba` binary: the one place where everything is wired together.
//!
//! Each command is a file in `commands`. To add one: such a file, its variant in
//! `commands::Command`, and a line in the README.

mod background;
mod child;
mod commands;
mod data;
mod databases;
mod demo_data;
mod failure;
mod logging;
mod open_files;
mod output;
mod payments;
mod sandbox;
mod settings;
mod signals;
mod signing_key;

use std::process::ExitCode;

use clap::Parser as _;

/// Many small allocations on many threads: this allocator serves them better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dabba: {failure}");
            ExitCode::FAILURE
        }
    }
}
