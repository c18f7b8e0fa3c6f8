//! Revocations.

use dabba_domain::{AccountId, Timestamp};
use dabba_store::{
    Account, AccountHolder, Credential, CredentialId, CredentialRevocation, KeptCredential, Revocation,
    RevocationRevision, Subject, encoding::exact_nanoseconds, least_revision,
};
use dabba_store_sql::accounts::revocation_of;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    keys::{self, FIND_KEY, REVOKE_KEY, REVOKE_KEYS_OF_ACCOUNT},
    sessions::{self, FIND_SESSION, REVOKE_SESSION, REVOKE_SESSIONS_OF_ACCOUNT},
};
use crate::{
    codec::{collect, id_bytes},
    failure::Failure,
};

/// Finds a row if a credential is void. Parameters: the account, its role, and the revision that the credential states.
pub(crate) const IS_VOID: &str = "\
    SELECT 1 FROM accounts WHERE id = ?1 AND (disabled_at_ns IS NOT NULL OR role <> ?2) \
    UNION ALL \
    SELECT 1 FROM revocations WHERE subject_kind = 'account' AND subject_id = ?1 AND revision > ?3 LIMIT 1";

/// Parameter: the minimum revision ([`dabba_store::least_revision`]).
pub(crate) const NEXT_REVISION: &str = "\
    INSERT INTO revocation_counter (id, revision) VALUES (1, ?1) \
    ON CONFLICT (id) DO UPDATE SET revision = max(revocation_counter.revision + 1, excluded.revision) \
    RETURNING revision";

const SAVE_REVOCATION: &str = "\
    INSERT INTO revocations (subject_kind, subject_id, revision, revoked_at_ns) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (subject_kind, subject_id) DO UPDATE SET \
        revision = excluded.revision, revoked_at_ns = excluded.revoked_at_ns";

pub(crate) const FIND_REVOCATIONS: &str = "\
    SELECT revision, subject_kind, subject_id, revoked_at_ns FROM revocations \
    WHERE revision > ?1 ORDER BY revision LIMIT ?2";

pub(crate) const FIND_REVOCATION: &str =
    "SELECT revision FROM revocations WHERE subject_kind = ?1 AND subject_id = ?2";

/// Returns whether a caller's credential is void. A missing credential is never void.
pub(crate) fn is_void(transaction: &Transaction<'_>, by: Option<Credential>) -> Result<bool, Failure> {
    let Some(Credential { account_id, role, as_of, kept }) = by else { return Ok(false) };
    if let Some(KeptCredential { id, at }) = kept {
        let is_usable = match id {
            CredentialId::ApiKey(id) => keys::is_usable(transaction, account_id, id, at)?,
            CredentialId::Session(id) => sessions::is_usable(transaction, account_id, id)?,
        };
        if !is_usable {
            return Ok(true);
        }
    }
    let parameters = params![id_bytes(account_id), role.as_str(), as_of];
    Ok(transaction.prepare_cached(IS_VOID)?.exists(parameters)?)
}

/// Revokes the credentials of a subject. Returns the revision.
pub(super) fn revoke(
    transaction: &Transaction<'_>,
    subject: Subject,
    at: Timestamp,
) -> Result<RevocationRevision, Failure> {
    let revision: RevocationRevision =
        transaction.prepare_cached(NEXT_REVISION)?.query_row([least_revision(at)], |row| row.get(0))?;
    transaction.prepare_cached(SAVE_REVOCATION)?.execute(params![
        subject.kind(),
        subject.id().into_bytes(),
        revision,
        exact_nanoseconds(at)?,
    ])?;
    Ok(revision)
}

/// Revokes an API key or a session of an account.
pub(super) fn revoke_credential(
    transaction: &Transaction<'_>,
    account_id: AccountId,
    id: CredentialId,
    at: Timestamp,
) -> Result<CredentialRevocation, Failure> {
    let (owner, mark) = match id {
        CredentialId::ApiKey(id) => {
            let key = keys::find(transaction, FIND_KEY, [id_bytes(id)])?;
            (key.map(|key| key.account_id), REVOKE_KEY)
        }
        CredentialId::Session(id) => {
            let session = sessions::find(transaction, FIND_SESSION, [id_bytes(id)])?;
            (session.map(|session| session.account_id), REVOKE_SESSION)
        }
    };
    if owner != Some(account_id) {
        return Ok(CredentialRevocation::NotFound);
    }
    let subject = id.subject();
    let parameters = params![subject.id().into_bytes(), exact_nanoseconds(at)?];
    if transaction.prepare_cached(mark)?.execute(parameters)? == 0 {
        return Ok(CredentialRevocation::Unchanged);
    }
    revoke(transaction, subject, at).map(CredentialRevocation::Done)
}

/// Marks all API keys and sessions of an account as revoked.
pub(super) fn revoke_kept(
    transaction: &Transaction<'_>,
    account: &Account,
    at: Timestamp,
) -> Result<(), Failure> {
    let mark = match account.holder {
        AccountHolder::Person => REVOKE_SESSIONS_OF_ACCOUNT,
        AccountHolder::Service => REVOKE_KEYS_OF_ACCOUNT,
    };
    transaction.prepare_cached(mark)?.execute(params![id_bytes(account.id), exact_nanoseconds(at)?])?;
    Ok(())
}

/// Returns the revision of a subject's latest revocation; 0 if there is none.
pub(super) fn find(connection: &Connection, subject: Subject) -> Result<RevocationRevision, Failure> {
    let mut statement = connection.prepare_cached(FIND_REVOCATION)?;
    let parameters = params![subject.kind(), subject.id().into_bytes()];
    Ok(statement.query_row(parameters, |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn page(
    connection: &Connection,
    after: RevocationRevision,
    limit: u32,
) -> Result<Vec<Revocation>, Failure> {
    let mut statement = connection.prepare_cached(FIND_REVOCATIONS)?;
    collect(statement.query(params![after, limit])?, |row| revocation_of(row))
}
