//! Sandboxes: data with a clock that can be put forward, so that whoever integrates Dabba sees in a moment
//! what happens in eight minutes.
//!
//! Nobody gets one by accident. A data directory is a sandbox from its first start, with `--sandbox`, or
//! never: a mark lies in it from then on. `--sandbox` on a directory that has a database without the mark
//! is refused, and so is serving a sandbox without `--sandbox`. It is a flag of `serve` alone, and no
//! setting, so it comes neither out of a file that was copied nor out of the environment. It is for the
//! embedded database, which one process serves: the clocks of several would not agree.

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

/// Name of the mark in the data directory.
const MARK: &str = "sandbox.json";

/// Latest time to which a clock can be put: far from the last that can be stored.
const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0); // 1 January 2200.

/// What the mark says.
#[derive(Default, Serialize, Deserialize)]
struct Mark {
    /// How far the clock is ahead, in seconds.
    ahead_seconds: i64,
}

/// A clock that is ahead of the machine's. How far is kept in the mark, so that it never goes back.
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
    fn put_forward(&self, by: SignedDuration) -> Result<Timestamp, String> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let further = ahead.checked_add(by).filter(|further| Self::ahead_of_now(*further) < LATEST);
        let further = further.ok_or_else(|| format!("the clock does not go beyond {LATEST}"))?;
        // Kept before it is so: after a restart the clock may be ahead of what was seen, never behind.
        write(&self.mark, &Mark { ahead_seconds: further.as_secs() })
            .map_err(|error| format!("the clock could not be kept: {error}"))?;
        *ahead = further;
        Ok(Self::ahead_of_now(further))
    }
}

/// Writes the mark whole or not at all.
fn write(path: &Path, mark: &Mark) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(mark)?)?;
    fs::rename(&draft, path)
}

/// The mark of this place, if it is a sandbox.
fn mark_of(settings: &Settings, databases: &Databases) -> Option<PathBuf> {
    let mark = settings.data.join(MARK);
    (matches!(databases, Databases::Embedded(_)) && mark.exists()).then_some(mark)
}

/// Whether this place is a sandbox.
pub(crate) fn is_one(settings: &Settings, databases: &Databases) -> bool {
    mark_of(settings, databases).is_some()
}

/// The clock by which commands on this place go.
pub(crate) fn clock_of(settings: &Settings, databases: &Databases) -> Result<Arc<dyn Clock>, Failure> {
    match mark_of(settings, databases) {
        Some(mark) => Ok(Arc::new(SandboxClock::read(mark)?)),
        None => Ok(Arc::new(SystemClock)),
    }
}

/// The clock of a sandbox, which is made when there is nothing yet.
pub(crate) fn open(settings: &Settings, databases: &Databases) -> Result<Arc<SandboxClock>, Failure> {
    let Databases::Embedded(database) = databases else {
        return Err(Failure::new(
            "--sandbox is for the embedded database: the clocks of several servers would not agree",
        ));
    };
    let mark = settings.data.join(MARK);
    if !mark.exists() {
        if database.exists() {
            return Err(Failure::new(format!(
                "{} was not begun as a sandbox, so its clock stays as it is; name another --data directory",
                settings.data.display()
            )));
        }
        write(&mark, &Mark::default())
            .map_err(Failure::during(format_args!("writing {}", mark.display())))?;
    }
    SandboxClock::read(mark).map(Arc::new)
}

/// Refuses to serve a sandbox as if it were none.
pub(crate) fn refuse(settings: &Settings, databases: &Databases) -> Result<(), Failure> {
    if is_one(settings, databases) {
        return Err(Failure::new(format!(
            "{} is a sandbox, whose clock is not the machine's; serve it with --sandbox",
            settings.data.display()
        )));
    }
    Ok(())
}
