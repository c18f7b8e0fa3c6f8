//! Runs a simulation on a thread of its own, so that a panic and a hang become problems with the seed.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use dabba_store::panicked;

use super::{SimulationError, SimulationOptions, SimulationReport};

/// Real time for a simulation, apart from [`TIME_PER_ORDER`]. Both are many times what a busy machine needs.
const TIME: Duration = Duration::from_mins(2);
/// Real time per order.
const TIME_PER_ORDER: Duration = Duration::from_secs(1);

/// Returns the real time after which a simulation hangs.
pub(super) const fn time_limit(options: &SimulationOptions) -> Duration {
    TIME.saturating_add(TIME_PER_ORDER.saturating_mul(options.orders))
}

/// Runs a simulation, and returns its result. A panic, and a simulation that does not end within a limit of real time,
/// are problems. A simulation that hangs is not ended: its thread lasts as long as the process.
pub(super) fn watched(
    seed: u64,
    limit: Duration,
    simulate: impl FnOnce() -> Result<SimulationReport, SimulationError> + Send + 'static,
) -> Result<SimulationReport, SimulationError> {
    let failed = |problem: String| SimulationError::new(seed, vec![problem.into()]);
    let (running, ended) = mpsc::channel::<()>();
    let work = move || {
        // Dropped at the end, also by a panic.
        let _running = running;
        simulate()
    };
    // Panic messages and debuggers show the name of the thread.
    let thread = thread::Builder::new().name(format!("simulation with seed {seed}")).spawn(work);
    let thread = thread.map_err(|error| failed(format!("cannot start the simulation: {error}")))?;
    if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        return Err(failed(format!("the simulation did not end within {limit:?} of real time")));
    }
    thread.join().unwrap_or_else(|panic| Err(failed(format!("the simulation {}", panicked(&*panic)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a result is returned, and that a panic and a hang are problems with the seed.
    #[test]
    fn a_panic_and_a_hang_show_the_seed() {
        let report = SimulationReport { seed: 7, ..SimulationReport::default() };
        let expected = report.clone();
        assert_eq!(watched(7, Duration::from_mins(1), || Ok(report)).unwrap(), expected);
        let error = watched(7, Duration::from_mins(1), || panic!("a planted panic")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("seed 7") && text.contains("the simulation panicked: a planted panic"),
            "{text}"
        );
        let (end, ended) = mpsc::channel::<()>();
        let hangs = move || {
            ended.recv().unwrap_err();
            Ok(SimulationReport::default())
        };
        let text = watched(7, Duration::from_millis(1), hangs).unwrap_err().to_string();
        assert!(text.contains("seed 7") && text.contains("did not end within 1ms"), "{text}");
        drop(end);
    }
}
