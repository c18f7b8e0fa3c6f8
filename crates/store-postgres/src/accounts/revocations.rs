//! Revocations of credentials.

use dabba_domain::{AccountId, Timestamp};
use dabba_store::{
    Account, AccountHolder, Credential, CredentialId, CredentialRevocation, KeptCredential, Revocation,
    RevocationRevision, Subject, encoding::exact_nanoseconds, least_revision,
};
use dabba_store_sql::{StoredRow as _, accounts::revocation_of};

use super::{
    keys::{self, REVOKE_KEY, REVOKE_KEYS_OF_ACCOUNT},
    sessions::{self, REVOKE_SESSION, REVOKE_SESSIONS_OF_ACCOUNT},
};
use crate::{
    codec::{collect, first},
    failure::Failure,
    pool::Connection,
};

/// Returns a row if a credential is void. Parameters: the account, its role and the revision that the credential
/// states.
pub(super) const IS_VOID: &str = "\
    SELECT 1 FROM accounts WHERE id = $1 AND (disabled_at_ns IS NOT NULL OR role <> $2) \
    UNION ALL \
    SELECT 1 FROM revocations WHERE subject_kind = 'account' AND subject_id = $1 AND revision > $3 LIMIT 1";

/// Draws the next revision. Locks the counter until the end of the transaction, so that revisions are committed in
/// their order. Parameter: the lowest allowed revision ([`dabba_store::least_revision`]).
const NEXT_REVISION: &str = "\
    INSERT INTO revocation_counter (id, revision) VALUES (1, $1) \
    ON CONFLICT (id) DO UPDATE SET revision = greatest(revocation_counter.revision + 1, excluded.revision) \
    RETURNING revision";

const SAVE_REVOCATION: &str = "\
    INSERT INTO revocations (subject_kind, subject_id, revision, revoked_at_ns) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (subject_kind, subject_id) DO UPDATE SET \
        revision = excluded.revision, revoked_at_ns = excluded.revoked_at_ns";

pub(super) const FIND_REVOCATIONS: &str = "\
    SELECT revision, subject_kind, subject_id, revoked_at_ns FROM revocations \
    WHERE revision > $1 ORDER BY revision LIMIT $2";

pub(super) const FIND_REVOCATION: &str =
    "SELECT revision FROM revocations WHERE subject_kind = $1 AND subject_id = $2";

pub(super) async fn is_void(connection: &Connection, by: Credential) -> Result<bool, Failure> {
    let Credential { account_id, role, as_of, kept } = by;
    if let Some(KeptCredential { id, at }) = kept {
        let is_usable = match id {
            CredentialId::ApiKey(id) => keys::is_usable(connection, account_id, id, at).await?,
            CredentialId::Session(id) => sessions::is_usable(connection, account_id, id).await?,
        };
        if !is_usable {
            return Ok(true);
        }
    }
    let rows = connection.query(IS_VOID, &[&account_id.uuid(), &role.as_str(), &as_of]).await?;
    Ok(!rows.is_empty())
}

/// Revokes the credentials of a subject, inside a transaction. Returns the revision.
pub(super) async fn revoke(
    connection: &Connection,
    subject: Subject,
    at: Timestamp,
) -> Result<RevocationRevision, Failure> {
    let revision: RevocationRevision = connection.query_number(NEXT_REVISION, &[&least_revision(at)]).await?;
    let at = exact_nanoseconds(at)?;
    connection.execute(SAVE_REVOCATION, &[&subject.kind(), &subject.id(), &revision, &at]).await?;
    Ok(revision)
}

/// Revokes an API key or a session of an account, inside a transaction.
pub(super) async fn revoke_credential(
    connection: &Connection,
    account_id: AccountId,
    id: CredentialId,
    at: Timestamp,
) -> Result<CredentialRevocation, Failure> {
    let (owner, mark) = match id {
        CredentialId::ApiKey(id) => (keys::find(connection, id).await?.map(|key| key.account_id), REVOKE_KEY),
        CredentialId::Session(id) => {
            (sessions::find(connection, id).await?.map(|session| session.account_id), REVOKE_SESSION)
        }
    };
    if owner != Some(account_id) {
        return Ok(CredentialRevocation::NotFound);
    }
    let subject = id.subject();
    if connection.execute(mark, &[&subject.id(), &exact_nanoseconds(at)?]).await? == 0 {
        return Ok(CredentialRevocation::Unchanged);
    }
    revoke(connection, subject, at).await.map(CredentialRevocation::Done)
}

/// Marks all API keys and sessions of an account as revoked.
pub(super) async fn revoke_kept(
    connection: &Connection,
    account: &Account,
    at: Timestamp,
) -> Result<(), Failure> {
    let mark = match account.holder {
        AccountHolder::Person => REVOKE_SESSIONS_OF_ACCOUNT,
        AccountHolder::Service => REVOKE_KEYS_OF_ACCOUNT,
    };
    connection.execute(mark, &[&account.id.uuid(), &exact_nanoseconds(at)?]).await?;
    Ok(())
}

/// Returns the revision of a subject's last revocation; 0 if there was none.
pub(super) async fn find(connection: &Connection, subject: Subject) -> Result<RevocationRevision, Failure> {
    let rows = connection.query(FIND_REVOCATION, &[&subject.kind(), &subject.id()]).await?;
    Ok(first(&rows, |row| row.integer(0))?.unwrap_or(0))
}

pub(super) async fn page(
    connection: &Connection,
    after: RevocationRevision,
    limit: u32,
) -> Result<Vec<Revocation>, Failure> {
    collect(&connection.query(FIND_REVOCATIONS, &[&after, &i64::from(limit)]).await?, revocation_of)
}
