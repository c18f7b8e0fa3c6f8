//! `dabba audit`

use dabba_sim::{AuditOptions, audit};

use crate::{
    commands::{DataArguments, block_on},
    databases::Databases,
    failure::Failure,
    logging, output, sandbox,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Prints the report as one object of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: DataArguments,
}

/// Reads all orders and prints what is wrong with them; fails when something is. Nothing is changed: a
/// database that is not there is not made, one with an older schema is refused.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut settings = arguments.settings.load()?;
    settings.migrate = false;
    logging::start(&settings)?;
    let databases = Databases::from_settings(&settings)?;
    let clock = sandbox::clock_of(&settings, &databases)?;
    if let Databases::Embedded(file) = &databases
        && !file.exists()
    {
        return Err(Failure::new(format!("there is no database at {}", file.display())));
    }
    block_on(async {
        let store = databases.open(&settings).await?.store;
        let audited = audit(&*store, None, &AuditOptions::at(clock.now())).await;
        store.close().await;
        let report = audited.map_err(Failure::during("the audit could not look at everything"))?;
        if arguments.json {
            output::json(&report)?;
        } else {
            output::line(&report)?;
        }
        if report.is_clean() {
            Ok(())
        } else {
            Err(Failure::new(format!("the audit found breaches: {}", report.breaches)))
        }
    })
}
