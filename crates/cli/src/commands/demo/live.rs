//! `dabba demo --live`: an evening at a running demo server.
//!
//! | module | content |
//! |---|---|
//! | `stage` | the server and the accounts of the demo, from the file that `serve --demo` writes |
//! | `connection` | requests, across restarts of the server |
//! | `people` | customers and couriers, whom the command registers |
//! | `cart` | the lines that a customer chooses from a menu |
//! | `changes` | the changes of an order between two reads |
//! | `steps` | the next steps of an order, and their delays |
//! | `evening` | the loop that places orders, polls the open ones and sends commands |
//! | `story` | the output: one line per change, and the summary |
//! | `summary` | the numbers of the evening |
//!
//! The server alone stores the orders. The command polls the open orders of the restaurant every two seconds and plans the
//! next step of each. So it also serves orders that other clients have placed or moved, and continues after a restart of
//! the server or of itself. Its couriers are new accounts in each evening, so at the start they take over the orders that
//! the couriers of earlier evenings have left.

mod cart;
mod changes;
mod connection;
mod evening;
mod people;
mod stage;
mod steps;
mod story;
mod summary;

use std::{path::PathBuf, time::Duration};

use clap::builder::RangedU64ValueParser;
use confique::Layer as _;
use dabba_engine::{Random as _, SeededRandom, SystemRandom};

use self::{connection::Connection, evening::Evening, stage::Stage, story::Story};
use crate::{
    commands::{block_on, remote::authorities},
    failure::Failure,
    settings::{Layer, Settings},
    signals::Signals,
};

/// Maximum number of orders per minute.
const MAX_RATE: u64 = 60;
/// Default duration of the evening, in minutes. It bounds what a forgotten command writes.
const DEFAULT_MINUTES: &str = "120";
/// Limits of the duration, in minutes. The maximum is less than the lifetime of the demo's tokens, which is twelve hours by
/// default.
const MINUTES: std::ops::RangeInclusive<f64> = 0.05..=600.0;
/// Maximum factor by which the evening runs faster.
const MAX_SPEED: u64 = 100;

/// Arguments of the evening.
#[derive(clap::Args)]
pub(super) struct LiveArguments {
    /// Simulates customers and couriers at a running demo server (`dabba serve --demo`), until Ctrl-C or the end of --for.
    /// You are the kitchen, at its board.
    ///
    /// Customers place orders at the demo's first restaurant, and cancel some. Couriers take each delivery that the kitchen
    /// has accepted, pick it up within about a minute after the kitchen has marked it as ready, and bring it to the customer
    /// within one to three minutes more.
    ///
    /// You accept or reject the orders at the board, mark them as ready, and hand over those that customers collect. An
    /// order that nobody accepts expires. With --kitchen, the command does this work, too.
    ///
    /// At the end, the command prints a summary.
    #[arg(long)]
    pub(super) live: bool,
    /// With --live: number of orders per minute, on average. 1 to 60.
    #[arg(long, value_name = "ORDERS", default_value = "4", value_parser = RangedU64ValueParser::<u64>::new().range(1..=MAX_RATE), requires = "live")]
    rate: u64,
    /// With --live: simulates the kitchen, too: accepts, prepares and hands over orders, and rejects some.
    #[arg(long, requires = "live")]
    kitchen: bool,
    /// With --live: number that determines what people do. Default: a random number, which the command prints.
    #[arg(long, value_name = "NUMBER", requires = "live")]
    seed: Option<u64>,
    /// With --live: number of minutes after which the command ends. 0.05 to 600.
    #[arg(long = "for", value_name = "MINUTES", default_value = DEFAULT_MINUTES, value_parser = duration, requires = "live")]
    duration: Duration,
    /// With --live: factor by which everybody is faster, except the arrival of orders. 1 to 100.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = RangedU64ValueParser::<u64>::new().range(1..=MAX_SPEED), requires = "live")]
    speed: u64,
    /// With --live: data directory of the demo server, which contains its `demo.env`. Default: as for `dabba serve`, the
    /// setting `data`, otherwise `dabba-data` in the present directory.
    #[arg(long, value_name = "DIRECTORY", requires = "live")]
    data: Option<PathBuf>,
    /// With --live: PEM file with the certificate of the authority that issued the server's certificate, for a server with
    /// `https://`. It is trusted in addition to the authorities of the machine.
    #[arg(long, value_name = "FILE", requires = "live")]
    ca_file: Option<PathBuf>,
    /// With --live: prints each line and the summary as JSON.
    #[arg(long, requires = "live")]
    json: bool,
}

/// Parses a number of minutes.
fn duration(text: &str) -> Result<Duration, String> {
    let minutes = text.parse().ok().filter(|minutes| MINUTES.contains(minutes));
    let minutes: f64 = minutes.ok_or_else(|| {
        format!("must be a number of minutes from {} to {}", MINUTES.start(), MINUTES.end())
    })?;
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

/// Simulates the evening until its end or a signal.
pub(super) fn run(arguments: &LiveArguments) -> Result<(), Failure> {
    let seed = arguments.seed.unwrap_or_else(|| SystemRandom.next_u64() >> 32);
    let mut flags = Layer::empty();
    flags.storage.data.clone_from(&arguments.data);
    let authorities = authorities(arguments.ca_file.as_deref())?;
    let stage = Stage::read(&Settings::load(flags, None)?.storage.data)?;
    let server = Connection::new(stage, authorities)?;
    let story = Story::new(arguments.json);
    block_on(async {
        let signals = Signals::listen()?;
        let mut evening = Evening::new(server, story, arguments, SeededRandom::new(seed));
        let ended = tokio::select! {
            ended = evening.run(seed) => ended,
            () = signals.first() => Ok(()),
            () = tokio::time::sleep(arguments.duration) => Ok(()),
        };
        if ended.is_ok() || evening.has_begun() {
            evening.close()?;
        }
        ended
    })
}
