//! Arguments of the mix `events`.

use dabba_domain::order::Event;
use dabba_sim::workload::{
    MAX_RESTAURANTS,
    events::{Class, MAX_ENDPOINTS, MAX_EVENTS, NEVER_CAUSED, Ports},
};

use super::super::{super::remote::server_url, Arguments as BenchArguments};
use crate::{failure::Failure, settings::WebUrl};

/// Orders started per second without `--rate`.
pub(super) const DEFAULT_RATE: u32 = 50;
/// Maximum number of events that a load causes per order.
pub(super) const EVENTS_PER_ORDER: u64 = 8;
/// Maximum number of endpoints of the platform.
const MAX_PLATFORM_ENDPOINTS: u64 = 100;
/// Maximum number of measured streams: a server allows 64 per token.
const MAX_STREAMS: u64 = 60;
/// Maximum number of boards: one per restaurant.
const MAX_BOARDS: u64 = MAX_RESTAURANTS as u64;
/// Maximum number of idle streams.
const MAX_IDLE_STREAMS: u64 = 10_000;
/// Maximum time for events to arrive after the load, and for idle streams to be measured, in seconds.
const MAX_WAIT: u64 = 600;

const ENDPOINTS: u64 = MAX_ENDPOINTS as u64;

/// Arguments of the mix `events`.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Options for --mix events")]
pub(crate) struct EventArguments {
    /// Number of restaurants that get orders. 1 to 10,000; default 100.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=MAX_RESTAURANTS as u64))]
    restaurants: Option<u64>,
    /// Number of webhook endpoints of restaurants, distributed over the restaurants from the first. Fewer endpoints than
    /// restaurants match the events of that share of the restaurants. 0 to 20,000; default 100.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=ENDPOINTS))]
    restaurant_endpoints: Option<u64>,
    /// Number of webhook endpoints of the platform. 0 to 100; default 1.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=MAX_PLATFORM_ENDPOINTS))]
    platform_endpoints: Option<u64>,
    /// Number of endpoints that respond after 30 s. 0 to 20,000; default 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=ENDPOINTS))]
    hanging_endpoints: Option<u64>,
    /// Number of endpoints that refuse connections. 0 to 20,000; default 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=ENDPOINTS))]
    dead_endpoints: Option<u64>,
    /// Number of endpoints that no event matches. 0 to 20,000, and at most 20 per restaurant; default 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=ENDPOINTS))]
    unmatched_endpoints: Option<u64>,
    /// Types of events for the endpoints of restaurants and of the platform, by their short names, separated by commas.
    /// Default: all types.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = event_type)]
    pub(super) endpoint_types: Vec<String>,
    /// Number of measured streams of all events. 0 to 60; default 1.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=MAX_STREAMS))]
    streams: Option<u64>,
    /// Number of boards, each of a restaurant, from the first. At most the number of restaurants. 0 to 10,000; default 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=MAX_BOARDS))]
    boards: Option<u64>,
    /// URL of another server of the same databases, whose streams and boards are measured. Default: the loaded server.
    #[arg(long, value_name = "URL", value_parser = server_url)]
    pub(super) stream_server: Option<WebUrl>,
    /// Number of idle streams of the loaded server. 0 to 10,000; default 0.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(..=MAX_IDLE_STREAMS))]
    idle_streams: Option<u64>,
    /// Time for which the server is measured with idle streams alone, in seconds. 1 to 600; default 20.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_WAIT))]
    idle_seconds: Option<u64>,
    /// Only places orders. Without this flag, each order is delivered: eight events.
    #[arg(long)]
    pub(super) only_place: bool,
    /// Time for which the load runs before the measurement, in seconds. Its events are verified, but count neither for
    /// latencies nor for processor time. 0 to 600; default 3.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=MAX_WAIT))]
    warm_up_seconds: Option<u64>,
    /// Maximum time for events to arrive after the load, in seconds. 1 to 600; default 60.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MAX_WAIT))]
    drain_seconds: Option<u64>,
    /// First of three ports of the receivers on 127.0.0.1: the second hangs, the third refuses connections. The server's
    /// `webhook_allowed_hosts` must name all three, such as 127.0.0.1:9000,127.0.0.1:9001,127.0.0.1:9002 for 9000.
    /// Required with --server and endpoints.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65_533))]
    receiver_port: Option<u16>,
    /// Process of the running server, whose processor time and memory are measured. Only on Linux.
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Main process of PostgreSQL, whose processor time is measured with that of its children. Only on Linux.
    #[arg(long, value_name = "PID")]
    pub(super) database_pid: Option<u32>,
}

fn event_type(name: &str) -> Result<String, String> {
    if Event::NAMES.contains(&name) && name != NEVER_CAUSED {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = Event::NAMES.iter().copied().filter(|name| *name != NEVER_CAUSED).collect();
    Err(format!("must be one of {}", names.join(", ")))
}

fn size(given: Option<u64>, default: usize) -> usize {
    given.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

impl EventArguments {
    /// Returns the number of restaurants.
    pub(super) fn restaurants(&self) -> usize {
        size(self.restaurants, 100)
    }

    /// Returns the number of endpoints of a class.
    pub(super) fn endpoints_of(&self, class: Class) -> usize {
        match class {
            Class::Restaurant => size(self.restaurant_endpoints, 100),
            Class::Platform => size(self.platform_endpoints, 1),
            Class::Hanging => size(self.hanging_endpoints, 0),
            Class::Dead => size(self.dead_endpoints, 0),
            Class::Unmatched => size(self.unmatched_endpoints, 0),
        }
    }

    /// Returns the number of measured streams.
    pub(super) fn streams(&self) -> usize {
        size(self.streams, 1)
    }

    /// Returns the number of boards.
    pub(super) fn boards(&self) -> usize {
        size(self.boards, 0)
    }

    /// Returns the number of idle streams.
    pub(super) fn idle_streams(&self) -> usize {
        size(self.idle_streams, 0)
    }

    /// Returns the time for which idle streams are measured, in seconds.
    pub(super) fn idle_seconds(&self) -> u64 {
        self.idle_seconds.unwrap_or(20)
    }

    /// Returns the time for which the load runs before the measurement, in seconds.
    pub(super) fn warm_up_seconds(&self) -> u64 {
        self.warm_up_seconds.unwrap_or(3)
    }

    /// Returns the maximum time for events to arrive after the load, in seconds.
    pub(super) fn drain_seconds(&self) -> u64 {
        self.drain_seconds.unwrap_or(60)
    }

    /// Returns the number of connections beside those of the load.
    pub(crate) fn connections(&self) -> usize {
        if *self == Self::default() {
            return 0;
        }
        self.streams() + self.boards() + self.idle_streams()
    }

    /// Returns the number of endpoints.
    pub(super) fn endpoints(&self) -> usize {
        Class::ALL.iter().map(|class| self.endpoints_of(*class)).sum()
    }

    /// Returns the ports of the receivers.
    pub(super) fn ports(&self) -> Ports {
        self.receiver_port.and_then(Ports::from_first).unwrap_or(Ports::FREE)
    }

    /// Refuses arguments that do not fit together.
    pub(crate) fn check(&self, bench: &BenchArguments) -> Result<(), Failure> {
        if self.endpoints() > MAX_ENDPOINTS {
            return Err(Failure::new(format!("a run has at most {MAX_ENDPOINTS} endpoints")));
        }
        let (boards, restaurants) = (self.boards(), self.restaurants());
        if boards > restaurants {
            return Err(Failure::new(format!(
                "--boards {boards} must be at most the number of restaurants, and --restaurants is {restaurants}"
            )));
        }
        if bench.server.is_some() && self.endpoints() > 0 && self.receiver_port.is_none() {
            return Err(Failure::new(
                "--server needs --receiver-port PORT, and the server the setting webhook_allowed_hosts for that port and \
                 the two ports after it",
            ));
        }
        let rate = bench.rate.first().map_or(DEFAULT_RATE, |rate| rate.get());
        let seconds = bench.seconds.saturating_add(self.warm_up_seconds());
        let events = u64::from(rate).saturating_mul(seconds).saturating_mul(EVENTS_PER_ORDER);
        if events > MAX_EVENTS as u64 {
            return Err(Failure::new(format!(
                "--rate, --seconds and --warm-up-seconds would cause up to {events} events, and a run has at most {MAX_EVENTS}"
            )));
        }
        Ok(())
    }
}
