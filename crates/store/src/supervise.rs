//! Supervision of the parts of a process that run as long as the process.
//!
//! A part that panics, or ends unexpectedly, is counted, logged with its text, and restarted with back-off. A part that fails
//! repeatedly is *down*: [`Supervisor::parts`] reports it, and the server shows it in `/readyz` and in its metrics. State that a
//! part needs after a restart must live outside the future that the part runs.
//!
//! Tasks that end by themselves, such as one connection or one task of an order, are not supervised. The caller that starts such
//! a task awaits its result.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::Backoff;

/// Pauses before a part is restarted: up to 100 ms after its first failure, up to 10 s after many.
pub const RESTART: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(10) };

/// Number of failures in a row after which a part is down.
pub const FAILURES_UNTIL_DOWN: u32 = 3;

/// Time without a failure after which earlier failures of a part no longer count. Longer than every restart pause.
pub const STEADY_AFTER: Duration = Duration::from_secs(30);

/// Time for which the work of a part is refused before the part counts as stuck.
pub const REFUSED_FOR: Duration = Duration::from_secs(5);

/// Effect of a part that is down on the readiness of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The process cannot do its work: it is not ready.
    Essential,
    /// The process works with limits: slower, or with stale data. It is degraded.
    Helpful,
}

/// Status of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartStatus {
    /// Name of the part, in snake case.
    pub name: String,
    /// Effect on readiness while it is down.
    pub need: Need,
    /// Number of panics and unexpected ends since the start.
    pub failures: u64,
    /// Whether it has failed [`FAILURES_UNTIL_DOWN`] times in a row, the last time less than [`STEADY_AFTER`] ago.
    pub is_down: bool,
    /// Whether it waits for something that takes unusually long, or a dependency refuses its work.
    pub is_stuck: bool,
}

/// One part. Shared between the supervisor and the running code.
#[derive(Debug)]
pub struct Part {
    name: String,
    need: Need,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u64,
    in_a_row: u32,
    last_failure: Option<Instant>,
    is_stuck: bool,
    /// Time of the first and of the latest refusal in the current series.
    refused: Option<(Instant, Instant)>,
    last_success: Option<Instant>,
}

impl State {
    fn is_refused(&self) -> bool {
        self.refused.is_some_and(|(since, last)| {
            last.duration_since(since) >= REFUSED_FOR && last.elapsed() < STEADY_AFTER
        })
    }
}

impl Part {
    /// Creates a part that catches its own panics and that no supervisor runs, such as a thread.
    pub fn new(name: impl Into<String>, need: Need) -> Self {
        Self { name: name.into(), need, state: Mutex::default() }
    }

    /// Records a panic or an unexpected end, and returns the number of failures in a row. For a part that catches its own panics,
    /// so that a panic costs only the current unit of work; [`Supervisor::run`] records all others.
    pub fn failed(&self, text: &str) -> u32 {
        let mut state = self.lock();
        let now = Instant::now();
        if state.last_failure.is_none_or(|last| now.duration_since(last) >= STEADY_AFTER) {
            state.in_a_row = 0;
        }
        state.failures = state.failures.saturating_add(1);
        state.in_a_row = state.in_a_row.saturating_add(1);
        state.last_failure = Some(now);
        let in_a_row = state.in_a_row;
        drop(state);
        tracing::error!(part = self.name, failures = in_a_row, text, "a part of the server failed");
        in_a_row
    }

    /// Records that a dependency of the part, such as its database, refused its work. The part is stuck once its work has been
    /// refused for [`REFUSED_FOR`] without a success in between. Logs the beginning of that state.
    pub fn refused(&self, text: &str) {
        let mut state = self.lock();
        let now = Instant::now();
        let was_stuck = state.is_refused();
        let since = state.refused.filter(|(_, last)| now.duration_since(*last) < STEADY_AFTER);
        state.refused = Some((since.map_or(now, |(since, _)| since), now));
        let is_new = state.is_refused() && !was_stuck;
        drop(state);
        if is_new {
            tracing::error!(part = self.name, text, "a part of the server cannot do its work");
        }
    }

    /// Records that the part has done its work. Earlier failures and refusals then no longer count.
    pub fn succeeded(&self) {
        let mut state = self.lock();
        let was_refused = state.is_refused();
        state.refused = None;
        state.last_success = Some(Instant::now());
        drop(state);
        if was_refused {
            tracing::info!(part = self.name, "a part of the server can do its work again");
        }
        self.survived();
    }

    /// Returns whether the part has done its work within this time.
    pub fn has_succeeded_within(&self, time: Duration) -> bool {
        self.lock().last_success.is_some_and(|last| last.elapsed() < time)
    }

    /// Records that the part itself has not failed, regardless of the result of its work. Earlier failures then no longer count.
    pub fn survived(&self) {
        let mut state = self.lock();
        if state.in_a_row > 0 {
            state.in_a_row = 0;
            drop(state);
            tracing::info!(part = self.name, "a part of the server works again");
        }
    }

    /// Runs `work`. If it takes longer than `patience`, marks the part as stuck until the work is done, and logs both. `what`
    /// names the work in the log.
    pub async fn watch<T>(&self, patience: Duration, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
            return done;
        }
        let began = Instant::now();
        tracing::error!(
            part = self.name,
            ?patience,
            "{what} takes unusually long; a part of the server waits for it"
        );
        // Dropping the guard also ends the stuck state if the caller abandons the work.
        let _stuck = Stuck::begin(self);
        let done = work.await;
        tracing::info!(part = self.name, after = ?patience + began.elapsed(), "{what} is done; the part works again");
        done
    }

    /// Returns the status of the part.
    pub fn status(&self) -> PartStatus {
        let state = self.lock();
        let is_recent = state.last_failure.is_some_and(|last| last.elapsed() < STEADY_AFTER);
        PartStatus {
            name: self.name.clone(),
            need: self.need,
            failures: state.failures,
            is_down: is_recent && state.in_a_row >= FAILURES_UNTIL_DOWN,
            is_stuck: state.is_stuck || state.is_refused(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part that waits for something that takes unusually long.
struct Stuck<'a>(&'a Part);

impl<'a> Stuck<'a> {
    fn begin(part: &'a Part) -> Self {
        part.lock().is_stuck = true;
        Self(part)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.lock().is_stuck = false;
    }
}

/// Runs the parts of a process and records their status.
pub struct Supervisor {
    randomness: Arc<dyn Fn() -> u64 + Send + Sync>,
    parts: Mutex<Vec<Arc<Part>>>,
}

impl Supervisor {
    /// Creates a supervisor without parts. `randomness` returns 64 random bits for each call; they spread the restarts.
    pub fn new(randomness: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { randomness, parts: Mutex::default() }
    }

    /// Returns the part with this name; adds it if there is none.
    pub fn part(&self, name: impl Into<String>, need: Need) -> Arc<Part> {
        let name = name.into();
        let mut parts = self.lock();
        if let Some(part) = parts.iter().find(|part| part.name == name) {
            return Arc::clone(part);
        }
        let part = Arc::new(Part::new(name, need));
        parts.push(Arc::clone(&part));
        part
    }

    /// Runs a part until it ends normally (`Ok`). After a panic, or after an `Err` with the reason of an unexpected end, the part
    /// is restarted. Dropping the future ends the part.
    pub async fn run<F>(&self, part: &Part, mut run: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), String>>,
    {
        loop {
            // A panic leaves the same state behind as an error in the same place: the future is dropped, and state that outlives
            // a restart is behind locks that ignore poisoning.
            let ended = AssertUnwindSafe(async { run().await }).catch_unwind().await;
            let text = match ended {
                Ok(Ok(())) => return,
                Ok(Err(text)) => text,
                Err(panic) => panicked(&*panic),
            };
            let in_a_row = part.failed(&text);
            tokio::time::sleep(RESTART.pause(in_a_row, (self.randomness)())).await;
        }
    }

    /// Returns the status of each part, in the order in which they were added.
    pub fn parts(&self) -> Vec<PartStatus> {
        self.lock().iter().map(|part| part.status()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Supervisor").field("parts", &self.parts()).finish_non_exhaustive()
    }
}

/// Returns the text of a panic that was caught; `None` if it has none.
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&'static str>().copied())
}

/// Returns the text for a log line or an error about a panic that was caught.
pub fn panicked(panic: &(dyn Any + Send)) -> String {
    format!("panicked: {}", panic_text(panic).unwrap_or("without a text"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn supervisor() -> Supervisor {
        // Uses the maximum pause of each range, so that the times are known.
        Supervisor::new(Arc::new(|| u64::MAX))
    }

    /// Proves that a part is restarted and counted after a panic and after an unexpected end, and not after a normal end.
    #[tokio::test(start_paused = true)]
    async fn a_part_is_restarted_until_it_ends_normally() {
        let supervisor = supervisor();
        let part = supervisor.part("watcher", Need::Helpful);
        let runs = AtomicU32::new(0);
        let run = || async {
            match runs.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("injected by the test"),
                1 => Err("its stream ended".to_owned()),
                _ => Ok(()),
            }
        };
        supervisor.run(&part, run).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        let status = PartStatus {
            name: "watcher".into(),
            need: Need::Helpful,
            failures: 2,
            is_down: false,
            is_stuck: false,
        };
        assert_eq!(supervisor.parts(), [status]);
    }

    /// Proves that a part that fails repeatedly is down, that its pauses stay below the limit, and that it is no longer down once
    /// it has run for a while.
    #[tokio::test(start_paused = true)]
    async fn a_part_that_keeps_failing_is_down_until_it_runs() {
        let supervisor = Arc::new(supervisor());
        let part = supervisor.part("watcher", Need::Essential);
        let (mends, began) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let running = tokio::spawn({
            let (supervisor, part, mends) = (Arc::clone(&supervisor), Arc::clone(&part), Arc::clone(&mends));
            async move {
                let run = || async {
                    assert!(mends.load(Ordering::SeqCst) > 0, "injected by the test");
                    std::future::pending().await
                };
                supervisor.run(&part, run).await;
            }
        });
        while part.status().failures < u64::from(FAILURES_UNTIL_DOWN) {
            assert!(!part.status().is_down);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(part.status().is_down);
        assert!(began.elapsed() < Duration::from_secs(1), "the status is reported without delay");
        // The part stays down for as long as it fails.
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert!(part.status().is_down);
        assert!(part.status().failures >= 3_600 / (RESTART.max.as_secs() + 1));
        mends.store(1, Ordering::SeqCst);
        tokio::time::sleep(RESTART.max + STEADY_AFTER).await;
        assert!(!part.status().is_down);
        running.abort();
    }

    /// Proves that successful work ends a series of failures, and that failures far apart are no series.
    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_count() {
        let part = supervisor().part("committer", Need::Essential);
        for _ in 0..FAILURES_UNTIL_DOWN {
            part.failed("injected by the test");
        }
        assert!(part.status().is_down);
        part.succeeded();
        assert!(!part.status().is_down);
        for _ in 0..2 * FAILURES_UNTIL_DOWN {
            assert_eq!(part.failed("injected by the test"), 1);
            tokio::time::advance(STEADY_AFTER).await;
        }
        assert!(!part.status().is_down);
    }
}
