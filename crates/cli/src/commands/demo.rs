//! `dabba demo`
//!
//! The server is a child process, started through the public command line. So the crash in the demo is real: the demo
//! kills the process.

mod narrator;
mod server;
mod walk;

use crate::{failure::Failure, output};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Disables colours. By default, only a terminal gets colours.
    #[arg(long)]
    no_colour: bool,
}

/// Takes one order from placement to delivery.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let narrator = narrator::Narrator::new(!arguments.no_colour);
    super::block_on(async {
        let directory = tempfile::tempdir().map_err(Failure::during("creating a temporary directory"))?;
        tokio::select! {
            walked = walk::walk(narrator, directory.path()) => walked,
            _ = tokio::signal::ctrl_c() => {
                output::line("")?;
                Err(Failure::new("interrupted"))
            }
        }
    })
}
