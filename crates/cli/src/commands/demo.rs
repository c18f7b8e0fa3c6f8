//! `dabba demo`
//!
//! The server is a child process, started as anyone would start it, so that the demo shows what it
//! says: when the walk kills it, it is dead.

mod narrator;
mod server;
mod walk;

use crate::{failure::Failure, output};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Never colours the text. It is coloured on a terminal only.
    #[arg(long)]
    no_colour: bool,
}

/// Walks one order from the kitchen to the door.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let narrator = narrator::Narrator::new(!arguments.no_colour);
    super::block_on(async {
        let directory = tempfile::tempdir().map_err(Failure::during("making a temporary directory"))?;
        tokio::select! {
            walked = walk::walk(narrator, directory.path()) => walked,
            _ = tokio::signal::ctrl_c() => {
                output::line("")?;
                Err(Failure::new("interrupted"))
            }
        }
    })
}
