//! `dabba demo`
//!
//! The server of a single order is a child process, started through the public command line. So the crash in the demo is
//! real: the demo kills the process. With `--live`, the command works on a server that runs already.

mod live;
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
    #[command(flatten)]
    live: live::LiveArguments,
}

/// Takes one order from placement to delivery on a temporary server, or simulates an evening at a running demo server.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.live.live {
        return live::run(&arguments.live);
    }
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
