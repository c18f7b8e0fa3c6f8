//! How often and how long things fail in a simulation. Each seed draws its own rates.
//!
//! One fixed set of rates explores the same mixture of failures again and again. Rates that differ from seed to seed,
//! and that are zero in some seeds, reach states that the average hides: a long run without a lost response, or many
//! hangs and no deaths ("swarm testing", Groce et al., ISSTA 2012).

use std::{ops::RangeInclusive, time::Duration};

use rand::{RngExt as _, rngs::StdRng};

/// Each kind of failure is switched off in one of this many seeds.
const SWITCHED_OFF_IN: u32 = 10;

/// The rates of a simulation. Rates without another unit are per mille.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    /// Store calls that fail before they have an effect.
    pub(super) store_fails: u32,
    /// Store calls whose response is lost.
    pub(super) store_loses: u32,
    /// Maximum duration of a store call that does not hang, in milliseconds, for each direction.
    pub(super) store_latency: u32,
    /// Provider calls that fail before they have an effect.
    pub(super) provider_fails: u32,
    /// Provider calls whose response is lost.
    pub(super) provider_loses: u32,
    /// Orders for which the provider refuses every call, as with a wrong credential.
    pub(super) provider_refuses: u32,
    /// Provider calls that hang.
    pub(super) provider_hangs: u32,
    /// Provider calls during which the server dies.
    pub(super) server_dies_in_call: u32,
    /// Requests whose client disconnects before it gets a response.
    pub(super) client_gives_up: u32,
    /// Steps that kill a server, in 10,000.
    pub(super) server_killed: u32,
    /// Steps that make a shard hang, in 10,000.
    pub(super) shard_hangs: u32,
    /// Steps that change the clock of a server's machine, in 10,000.
    pub(super) clock_changes: u32,
    /// Interval at which workers and watchers poll.
    pub(super) poll_interval: Duration,
    /// Initial stock of the limited item at each restaurant, per mille of the orders.
    pub(super) stock: u32,
    /// Webhooks that their receiver refuses.
    pub(super) receiver_refuses: u32,
    /// Webhooks that their receiver accepts, and whose response is lost.
    pub(super) receiver_loses: u32,
    /// Webhooks that hang.
    pub(super) receiver_hangs: u32,
    /// Webhooks that arrive a second time.
    pub(super) receiver_repeats: u32,
    /// Webhooks that find their receiver unreachable, as do the ones that follow for some time.
    pub(super) receiver_outages: u32,
    /// Webhooks whose receiver responds that it is gone.
    pub(super) receiver_gone: u32,
}

impl Rates {
    /// Draws the rates of a seed.
    pub(super) fn draw(random: &mut StdRng) -> Self {
        let mut rate = |range: RangeInclusive<u32>| {
            let is_off = random.random_range(0..SWITCHED_OFF_IN) == 0;
            let rate = random.random_range(range);
            if is_off { 0 } else { rate }
        };
        let (store_fails, store_loses) = (rate(2..=16), rate(2..=16));
        let (provider_fails, provider_loses) = (rate(10..=60), rate(10..=60));
        let provider_refuses = rate(10..=40);
        let (provider_hangs, server_dies_in_call) = (rate(10..=40), rate(4..=20));
        let (client_gives_up, server_killed) = (rate(5..=40), rate(4..=20));
        let (shard_hangs, clock_changes) = (rate(8..=24), rate(20..=60));
        let (receiver_refuses, receiver_loses) = (rate(10..=120), rate(10..=60));
        let (receiver_hangs, receiver_repeats) = (rate(4..=20), rate(5..=30));
        let (receiver_outages, receiver_gone) = (rate(1..=4), rate(1..=2));
        Self {
            store_fails,
            store_loses,
            store_latency: random.random_range(20..=80),
            provider_fails,
            provider_loses,
            provider_refuses,
            provider_hangs,
            server_dies_in_call,
            client_gives_up,
            server_killed,
            shard_hangs,
            clock_changes,
            poll_interval: Duration::from_millis(random.random_range(1_000..=6_000)),
            stock: random.random_range(60..=240),
            receiver_refuses,
            receiver_loses,
            receiver_hangs,
            receiver_repeats,
            receiver_outages,
            receiver_gone,
        }
    }
}
