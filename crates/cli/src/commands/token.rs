//! `dabba token`

use std::path::PathBuf;

use dabba_domain::{AccountId, Bucket, Role, Timestamp};
use dabba_engine::{Principal, Random as _, SystemRandom};
use dabba_store::{AccountHolder, RevocationRevision, StoreError, Subject};
use dabba_store_sqlite::SqliteStore;

use crate::{
    commands::{DataArguments, block_on},
    databases::{Databases, Opened},
    failure::Failure,
    named_file, output, sandbox,
    settings::{Bounded, Settings},
    signing_key,
};

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Role: customer, restaurant, courier or admin.
    #[arg(long, value_parser = role)]
    role: Role,
    /// Id of the account. Optional for an admin.
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Lifetime of the token, in seconds; default the setting `token_lifetime_seconds`.
    #[arg(long, value_name = "SECONDS")]
    lifetime_seconds: Option<Bounded<60, 31_536_000>>,
    /// File with the key; default `signing-key` in the data directory.
    #[arg(long, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    #[command(flatten)]
    settings: DataArguments,
}

pub(super) fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| "must be customer, restaurant, courier or admin".into())
}

/// Prints a token. A server may use the same data directory: an embedded database is only read.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = arguments.settings.load_with(|flags| {
        flags.tokens.signing_key_file = arguments.signing_key_file;
        flags.tokens.token_lifetime_seconds = arguments.lifetime_seconds;
    })?;
    let databases = Databases::from_settings(&settings)?;
    let now = sandbox::clock_of(&settings, &databases)?.now();
    let account_id = match (arguments.account, arguments.role) {
        (Some(account_id), _) => account_id,
        (None, Role::Admin) => fresh_account_id(now),
        (None, role) => {
            return Err(Failure::new(format!("a token for the role {} needs --account ID", role.as_str())));
        }
    };
    let path = signing_key::path(&settings);
    if !named_file::is_there(&path).map_err(Failure::during("the signing key"))? {
        return Err(Failure::new(format!(
            "there is no signing key at {}: give the server's settings with --config, its data directory with --data or its key \
             with --signing-key-file; the first `dabba serve` creates a key in its data directory",
            path.display()
        )));
    }
    let key = signing_key::read(&path)?;
    block_on(async {
        let as_of = match arguments.account {
            Some(account_id) => revision_of(account_id, arguments.role, &databases, &settings).await?,
            None => 0,
        };
        let bearer = Principal { as_of, ..Principal::new(account_id, arguments.role) };
        let lifetime = settings.tokens.lifetime();
        output::line(dabba_web::issue_token(&key, &bearer, now, lifetime))
    })
}

/// Returns the revision of an account's last revocation, which the token states. Fails if the account must not get a
/// token of this role. An id without an account may have revocations, too.
async fn revision_of(
    id: AccountId,
    role: Role,
    databases: &Databases,
    settings: &Settings,
) -> Result<RevocationRevision, Failure> {
    let during = || format!("looking up account {id}");
    let (account, revision) = match databases {
        Databases::Embedded(file) if !file.exists() => (None, 0),
        Databases::Embedded(file) => SqliteStore::account_at(file, id).map_err(Failure::during(during()))?,
        Databases::Postgres(_) => {
            let Opened { store, .. } = databases.open_to_read(settings).await?;
            let found =
                async { Ok((store.account(id).await?, store.revocation(Subject::Account(id)).await?)) };
            let found: Result<_, StoreError> = found.await;
            store.close().await;
            found.map_err(Failure::during(during()))?
        }
    };
    match account {
        None => Ok(revision),
        Some(account) if account.deleted_at.is_some() => Err(Failure::new(format!(
            "account {id} is permanently deleted, so it gets no token: register another account, or choose another id"
        ))),
        Some(account) if account.holder == AccountHolder::Service => Err(Failure::new(format!(
            "account {id} is a service account, so it gets no token: create a key with `dabba keys create --account {id}`"
        ))),
        Some(account) if account.disabled_at.is_some() => Err(Failure::new(format!(
            "account {id} is disabled, so it gets no token: enable it with `dabba accounts enable {id}`"
        ))),
        Some(account) if account.role != role => Err(Failure::new(format!(
            "account {id} has the role {}, so it gets no token for the role {}",
            account.role.as_str(),
            role.as_str()
        ))),
        Some(account) => Ok(account.revocation),
    }
}

/// Returns a new account id that is in no store.
pub(crate) fn fresh_account_id(now: Timestamp) -> AccountId {
    AccountId::generate(now, Bucket::from_random(SystemRandom.next_u64()), SystemRandom.next_u64())
}
