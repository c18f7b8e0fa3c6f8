//! `dabba token`

use std::path::PathBuf;

use dabba_domain::{AccountId, Bucket, Role, Timestamp};
use dabba_engine::{Random as _, SystemRandom};

use crate::{
    commands::DataArguments, databases::Databases, failure::Failure, output, sandbox, settings::Bounded,
    signing_key,
};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// customer, restaurant, courier or admin.
    #[arg(long, value_parser = role)]
    role: Role,
    /// Whose token: the account's id. An admin's may be absent.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// How long it is valid; as the setting `token_lifetime_seconds` says, when absent.
    #[arg(long, value_name = "SECONDS")]
    lifetime_seconds: Option<Bounded<60, 31_536_000>>,
    /// File with the key. `signing-key` in the data directory, when absent.
    #[arg(long, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    #[command(flatten)]
    settings: DataArguments,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| "must be customer, restaurant, courier or admin".into())
}

/// Prints a token. Reads a file and nothing else, so a server may run on the same data directory.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load_with(|flags| {
        flags.signing_key_file = arguments.signing_key_file;
        flags.token_lifetime_seconds = arguments.lifetime_seconds;
    })?;
    let now = sandbox::clock_of(&settings, &Databases::from_settings(&settings)?)?.now();
    let account_id = match (arguments.account, arguments.role) {
        (Some(account_id), _) => account_id,
        (None, Role::Admin) => fresh_account_id(now),
        (None, role) => {
            return Err(Failure::new(format!("a token for the role {} needs --account ID", role.as_str())));
        }
    };
    let path = signing_key::path(&settings);
    if !path.exists() {
        return Err(Failure::new(format!(
            "there is no signing key at {}; the first `dabba serve` makes one",
            path.display()
        )));
    }
    let key = signing_key::read(&path)?;
    let lifetime = settings.token_lifetime_seconds.seconds();
    output::line(dabba_http::issue_token(&key, account_id, arguments.role, now, lifetime))
}

/// An id of an account that is in no store.
pub(crate) fn fresh_account_id(now: Timestamp) -> AccountId {
    AccountId::generate(now, Bucket::from_random(SystemRandom.next_u64()), SystemRandom.next_u64())
}
