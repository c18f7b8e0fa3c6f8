//! TLS of the public listener: its files, which may be renewed while the server runs, and the expiry of the certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dabba_engine::{Clock as _, SystemClock};
use dabba_store::{Need, Part, Supervisor};
use dabba_web::{Certificate, Tls};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::time::Instant;

use crate::{failure::Failure, named_file, settings::Settings};

/// Interval at which the server checks whether the files have changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Remaining validity of the certificate below which the server logs a warning. Renewals that run by themselves renew a
/// certificate at least 30 days before its expiry, if it is valid for 90 days.
const WARN_BEFORE: Duration = DAY.saturating_mul(14);

/// Interval of the warnings about the expiry.
const WARN_INTERVAL: Duration = DAY;

/// A day.
const DAY: Duration = Duration::from_hours(24);

/// Time of the last change and size of a file; `None` if it cannot be found.
type Stamp = Option<(SystemTime, u64)>;

/// TLS with the certificate of two files.
pub(crate) struct ServerTls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    tls: Tls,
    expiry: Gauge,
    state: Mutex<State>,
}

/// What the last check found.
struct State {
    stamps: [Stamp; 2],
    /// Why the files could not be used at the last check.
    failure: Option<String>,
    expires_at: u64,
    warned_at: Option<Instant>,
}

impl ServerTls {
    /// Reads the files of the settings; `None` without TLS.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Option<Arc<Self>>, Failure> {
        let Some((certificate_file, key_file)) = settings.listening.tls_files()? else { return Ok(None) };
        for (setting, file) in [("tls_certificate_file", certificate_file), ("tls_key_file", key_file)] {
            named_file::check_regular_and_small(file).map_err(Failure::during(setting))?;
        }
        let stamps = [stamp(certificate_file), stamp(key_file)];
        let certificate = read(certificate_file, key_file).map_err(Failure::new)?;
        let expires_at = certificate.expires_at();
        let tls = Tls::new(certificate).map_err(Failure::during("TLS"))?;
        let state = State { stamps, failure: None, expires_at, warned_at: None };
        let this = Self {
            certificate_file: certificate_file.to_owned(),
            key_file: key_file.to_owned(),
            tls,
            expiry: Gauge::default(),
            state: Mutex::new(state),
        };
        this.show_expiry(expires_at);
        Ok(Some(Arc::new(this)))
    }

    /// Returns the TLS of the listener.
    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Registers the expiry of the certificate, if there is one.
    pub(crate) fn register(this: Option<&Self>, registry: &mut Registry) {
        let Some(Self { expiry, .. }) = this else { return };
        registry.register(
            "dabba_tls_certificate_expiry_seconds",
            "Time at which the TLS certificate in use expires, in seconds since 1970; absent without TLS",
            expiry.clone(),
        );
    }

    fn show_expiry(&self, expires_at: u64) {
        self.expiry.set(i64::try_from(expires_at).unwrap_or(i64::MAX));
    }

    /// Watches the files and the expiry of the certificate, as a supervised part; nothing without TLS.
    pub(crate) async fn watch(this: Option<Arc<Self>>, supervisor: Arc<Supervisor>) {
        let Some(this) = this else { return };
        let part = supervisor.part("tls_certificate", Need::Helpful);
        supervisor
            .run(&part, || async {
                loop {
                    this.warn_of_expiry();
                    tokio::time::sleep(CHECK_INTERVAL).await;
                    let checking = Arc::clone(&this);
                    let checked = tokio::task::spawn_blocking(move || checking.check()).await;
                    report(&part, checked.map_err(|error| error.to_string())?);
                }
            })
            .await;
    }

    /// Reads the files again if one of them has changed, or if they could not be used before. With files that cannot be used,
    /// the server keeps its certificate. Returns the reason.
    fn check(&self) -> Result<(), String> {
        let stamps = [stamp(&self.certificate_file), stamp(&self.key_file)];
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stamps == stamps && state.failure.is_none() {
            return Ok(());
        }
        state.stamps = stamps;
        match read(&self.certificate_file, &self.key_file) {
            Ok(certificate) => {
                let expires_at = certificate.expires_at();
                self.tls.replace(certificate);
                self.show_expiry(expires_at);
                (state.failure, state.expires_at, state.warned_at) = (None, expires_at, None);
                let days = validity_left(expires_at).as_secs() / DAY.as_secs();
                tracing::info!(days, "the TLS certificate is replaced");
                Ok(())
            }
            Err(failure) => {
                if state.failure.as_ref() != Some(&failure) {
                    tracing::error!(
                        error = failure,
                        "the TLS certificate is not replaced; the server keeps the previous one"
                    );
                }
                state.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Logs a warning if the certificate expires soon or has expired, at most once a day.
    fn warn_of_expiry(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = validity_left(state.expires_at);
        if left >= WARN_BEFORE || state.warned_at.is_some_and(|at| at.elapsed() < WARN_INTERVAL) {
            return;
        }
        state.warned_at = Some(Instant::now());
        let file = self.certificate_file.display();
        if left.is_zero() {
            tracing::error!("the TLS certificate has expired: clients refuse it; renew {file}");
        } else {
            let days = left.as_secs() / DAY.as_secs();
            tracing::warn!(days, "the TLS certificate expires soon: renew {file}");
        }
    }
}

/// Marks the part as unable to do its work while the files cannot be used.
fn report(part: &Part, checked: Result<(), String>) {
    match checked {
        Ok(()) => part.succeeded(),
        Err(failure) => part.refused(&failure),
    }
}

/// Returns the certificate of two files.
fn read(certificate_file: &Path, key_file: &Path) -> Result<Certificate, String> {
    let certificates =
        named_file::read(certificate_file).map_err(|error| format!("tls_certificate_file: {error}"))?;
    let key = named_file::read(key_file).map_err(|error| format!("tls_key_file: {error}"))?;
    Certificate::from_pem(&certificates, &key).map_err(|error| {
        format!(
            "tls_certificate_file {} and tls_key_file {}: {error}",
            certificate_file.display(),
            key_file.display()
        )
    })
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    let changed: io::Result<SystemTime> = metadata.modified();
    Some((changed.unwrap_or(UNIX_EPOCH), metadata.len()))
}

/// Returns the time until a certificate expires; zero afterwards. Clients use the real time, and never that of a sandbox.
fn validity_left(expires_at: u64) -> Duration {
    let now = u64::try_from(SystemClock.now().as_second()).unwrap_or(0);
    Duration::from_secs(expires_at.saturating_sub(now))
}
