//! `dabba completions`

use clap_complete::{Shell, generate};

use super::help;
use crate::{failure::Failure, output};

/// Arguments of the command.
#[derive(clap::Args)]
#[command(after_help = "For bash: dabba completions bash > ~/.local/share/bash-completion/completions/dabba")]
pub(crate) struct Arguments {
    /// Shell to print the script for.
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    let mut command = help::command();
    generate(arguments.shell, &mut command, "dabba", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}
