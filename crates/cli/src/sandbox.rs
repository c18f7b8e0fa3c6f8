//! Sandboxes: data with a clock that can be advanced, so that integrators see at once what happens in eight minutes.
//!
//! A sandbox never arises by accident. A data directory becomes a sandbox at its first start with `--sandbox`, which
//! writes a marker into it, or never. `--sandbox` is refused for a directory whose database has no marker, and a
//! sandbox cannot be served without `--sandbox`. `--sandbox` is a flag of `serve` and not a setting, so it cannot come
//! from a copied file or from the environment. Sandboxes need the embedded database, which a single process serves: the
//! clocks of several processes would differ.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use dabba_domain::Timestamp;
use dabba_engine::{AdjustableClock, Clock, SystemClock};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::{databases::Databases, failure::Failure, settings::Settings};

/// Name of the marker in the data directory.
const MARK: &str = "sandbox.json";

/// Latest time that a clock can reach: far from the last time that can be stored.
const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0); // 1 January 2200.

/// Content of the marker.
#[derive(Default, Serialize, Deserialize)]
struct Mark {
    /// Lead of the clock over the machine's clock, in seconds.
    ahead_seconds: i64,
}

/// A clock that is ahead of the machine's clock. The marker stores the lead, so that the clock never goes back.
pub(crate) struct SandboxClock {
    mark: PathBuf,
    ahead: Mutex<SignedDuration>,
}

impl SandboxClock {
    fn read(mark: PathBuf) -> Result<Self, Failure> {
        let during = format!("reading {}", mark.display());
        let text = fs::read_to_string(&mark).map_err(Failure::during(&during))?;
        let Mark { ahead_seconds } = serde_json::from_str(&text).map_err(Failure::during(&during))?;
        let ahead = Mutex::new(SignedDuration::from_secs(ahead_seconds.max(0)));
        Ok(Self { mark, ahead })
    }

    fn ahead_of_now(ahead: SignedDuration) -> Timestamp {
        SystemClock.now().saturating_add(ahead).unwrap_or(LATEST).min(LATEST)
    }
}

impl Clock for SandboxClock {
    fn now(&self) -> Timestamp {
        Self::ahead_of_now(*self.ahead.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AdjustableClock for SandboxClock {
    fn try_advance(&self, by: SignedDuration) -> Result<Timestamp, String> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let further = ahead.checked_add(by).filter(|further| Self::ahead_of_now(*further) < LATEST);
        let further = further.ok_or_else(|| format!("the clock cannot be advanced beyond {LATEST}"))?;
        // The lead is stored before it takes effect. So after a restart the clock may be ahead of the last observed
        // time, and never behind it.
        write(&self.mark, &Mark { ahead_seconds: further.as_secs() })
            .map_err(|error| format!("the clock could not be stored: {error}"))?;
        *ahead = further;
        Ok(Self::ahead_of_now(further))
    }
}

/// Writes the marker atomically.
fn write(path: &Path, mark: &Mark) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(mark)?)?;
    fs::rename(&draft, path)
}

/// Returns the marker if the data directory is a sandbox.
fn mark_of(settings: &Settings, databases: &Databases) -> Option<PathBuf> {
    let mark = settings.storage.data.join(MARK);
    (matches!(databases, Databases::Embedded(_)) && mark.exists()).then_some(mark)
}

/// Returns whether the data directory is a sandbox.
pub(crate) fn is_one(settings: &Settings, databases: &Databases) -> bool {
    mark_of(settings, databases).is_some()
}

/// Returns the clock for commands on this data directory.
pub(crate) fn clock_of(settings: &Settings, databases: &Databases) -> Result<Arc<dyn Clock>, Failure> {
    match mark_of(settings, databases) {
        Some(mark) => Ok(Arc::new(SandboxClock::read(mark)?)),
        None => Ok(Arc::new(SystemClock)),
    }
}

/// Returns the clock of a sandbox. Creates the sandbox if the data directory is new.
pub(crate) fn open(settings: &Settings, databases: &Databases) -> Result<Arc<SandboxClock>, Failure> {
    let Databases::Embedded(database) = databases else {
        return Err(Failure::new(
            "--sandbox works only with the embedded database: the clocks of several servers would differ",
        ));
    };
    let mark = settings.storage.data.join(MARK);
    if !mark.exists() {
        if database.exists() {
            return Err(Failure::new(format!(
                "{} has a database that is not a sandbox: give another directory with --data",
                settings.storage.data.display()
            )));
        }
        write(&mark, &Mark::default())
            .map_err(Failure::during(format_args!("writing {}", mark.display())))?;
    }
    SandboxClock::read(mark).map(Arc::new)
}

/// Refuses to serve a sandbox without `--sandbox`.
pub(crate) fn refuse(settings: &Settings, databases: &Databases) -> Result<(), Failure> {
    if is_one(settings, databases) {
        return Err(Failure::new(format!(
            "{} is a sandbox, whose clock differs from the machine's clock: serve it with --sandbox",
            settings.storage.data.display()
        )));
    }
    Ok(())
}
