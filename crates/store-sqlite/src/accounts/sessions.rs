//! Sessions and login links.

use async_trait::async_trait;
use dabba_domain::{AccountId, SessionId, Timestamp};
use dabba_store::{
    Account, Credential, LoginLink, LoginLinkCreation, NewLoginLink, NewSession, PageSize,
    RevocationRevision, SecretHash, Session, SessionCreation, SessionStore, SessionUse, StoreError, Subject,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
};
use dabba_store_sql::{
    StoredRow as _,
    accounts::{check_link_account, excess_sessions, login_link_of, may_log_in, session_of},
    login_link_columns, session_columns,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Transaction, params};

use super::{FIND_ACCOUNT, find_account, revocations, with_account};
use crate::{
    SqliteStore,
    codec::{BELOW_EVERY_ID, collect, first, id_bytes},
    failure::Failure,
};

const INSERT_SESSION: &str = "\
    INSERT INTO sessions (id, account_id, hash, as_of, created_at_ns, expires_at_ns, user_agent) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Finds the active sessions of an account, with the time since which each is unused. Parameters: the account and the time.
pub(crate) const FIND_ACTIVE_SESSIONS: &str = "\
    SELECT id, coalesce(last_used_at_ns, created_at_ns) FROM sessions \
    WHERE account_id = ?1 AND revoked_at_ns IS NULL AND expires_at_ns > ?2";

pub(crate) const FIND_SESSION: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");

pub(crate) const FIND_SESSION_BY_HASH: &str =
    concat!("SELECT ", session_columns!(), " FROM sessions WHERE hash = ?1");

pub(crate) const FIND_SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE account_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
);

pub(crate) const REVOKE_SESSION: &str = "\
    UPDATE sessions SET revoked_at_ns = ?2, expires_at_ns = min(expires_at_ns, ?2) \
    WHERE id = ?1 AND revoked_at_ns IS NULL";

pub(crate) const REVOKE_SESSIONS_OF_ACCOUNT: &str = "\
    UPDATE sessions SET revoked_at_ns = ?2, expires_at_ns = min(expires_at_ns, ?2) \
    WHERE account_id = ?1 AND revoked_at_ns IS NULL";

/// Finds a row if a session is usable. Parameters: the session and its account.
pub(crate) const IS_SESSION_USABLE: &str =
    "SELECT 1 FROM sessions WHERE id = ?1 AND account_id = ?2 AND revoked_at_ns IS NULL";

pub(crate) const RECORD_SESSION_USE: &str = "\
    UPDATE sessions SET last_used_at_ns = max(coalesce(last_used_at_ns, ?2), ?2), \
        expires_at_ns = max(expires_at_ns, ?3) \
    WHERE id = ?1 AND revoked_at_ns IS NULL";

/// Parameters: time, limit.
pub(crate) const DELETE_EXPIRED_SESSIONS: &str = "\
    DELETE FROM sessions WHERE id IN ( \
        SELECT id FROM sessions WHERE expires_at_ns < ?1 ORDER BY expires_at_ns LIMIT ?2) \
    RETURNING id";

pub(crate) const DELETE_REVOCATION: &str =
    "DELETE FROM revocations WHERE subject_kind = 'session' AND subject_id = ?1";

const INSERT_LINK: &str = "\
    INSERT INTO login_links (hash, account_id, as_of, created_at_ns, created_by, expires_at_ns) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Deletes the oldest links of an account beyond a number.
pub(crate) const DELETE_EXCESS_LINKS: &str = "\
    DELETE FROM login_links WHERE hash IN ( \
        SELECT hash FROM login_links WHERE account_id = ?1 ORDER BY created_at_ns DESC LIMIT -1 OFFSET ?2)";

pub(crate) const FIND_LINK: &str =
    concat!("SELECT ", login_link_columns!(), " FROM login_links WHERE hash = ?1");

/// Parameters: the link, its account, and the time. Returns the revision that the link states.
pub(crate) const CONSUME_LINK: &str = "\
    DELETE FROM login_links WHERE hash = ?1 AND account_id = ?2 AND expires_at_ns > ?3 RETURNING as_of";

/// Parameters: time, limit.
pub(crate) const DELETE_EXPIRED_LINKS: &str = "\
    DELETE FROM login_links WHERE hash IN ( \
        SELECT hash FROM login_links WHERE expires_at_ns < ?1 ORDER BY expires_at_ns LIMIT ?2)";

/// Returns whether a session exists, belongs to this account and is not revoked.
pub(super) fn is_usable(
    transaction: &Transaction<'_>,
    account_id: AccountId,
    id: SessionId,
) -> Result<bool, Failure> {
    Ok(transaction.prepare_cached(IS_SESSION_USABLE)?.exists([id_bytes(id), id_bytes(account_id)])?)
}

fn create(transaction: &Transaction<'_>, new: &NewSession) -> Result<SessionCreation, Failure> {
    let session = &new.session;
    let created_at_ns = exact_nanoseconds(session.created_at)?;
    let mut as_of = session.as_of;
    if let Some(SecretHash(link)) = new.link {
        let mut statement = transaction.prepare_cached(CONSUME_LINK)?;
        let parameters = params![link, id_bytes(session.account_id), created_at_ns];
        let consumed = statement.query_row(parameters, |row| row.get(0)).optional()?;
        let Some(of_link) = consumed else { return Ok(SessionCreation::NoLink) };
        as_of = as_of.min(of_link);
    }
    let account = find_account(transaction, FIND_ACCOUNT, [id_bytes(session.account_id)])?;
    if !account.is_some_and(|account| may_log_in(&account, as_of)) {
        return Ok(SessionCreation::Void);
    }
    let ended = end_excess(transaction, new, created_at_ns)?;
    transaction.prepare_cached(INSERT_SESSION)?.execute(params![
        id_bytes(session.id),
        id_bytes(session.account_id),
        new.hash.0,
        session.as_of,
        created_at_ns,
        exact_nanoseconds(session.expires_at)?,
        session.user_agent,
    ])?;
    Ok(SessionCreation::Created { session: Box::new(session.clone()), ended })
}

/// Revokes the active sessions of the account for which a new session has no place.
fn end_excess(
    transaction: &Transaction<'_>,
    new: &NewSession,
    created_at_ns: i64,
) -> Result<Vec<(SessionId, RevocationRevision)>, Failure> {
    let NewSession { session: Session { account_id, created_at, .. }, max_active, .. } = new;
    let active = {
        let mut statement = transaction.prepare_cached(FIND_ACTIVE_SESSIONS)?;
        let rows = statement.query(params![id_bytes(*account_id), created_at_ns])?;
        collect(rows, |row| Ok((row.integer(1)?, row.id(0)?)))?
    };
    let mut ended = Vec::new();
    for id in excess_sessions(active, *max_active) {
        transaction.prepare_cached(REVOKE_SESSION)?.execute(params![id_bytes(id), created_at_ns])?;
        ended.push((id, revocations::revoke(transaction, Subject::Session(id), *created_at)?));
    }
    Ok(ended)
}

pub(super) fn find(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<Session>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    first(statement.query(parameters)?, |row| session_of(row))
}

fn delete_expired(transaction: &Transaction<'_>, before: Timestamp, limit: u32) -> Result<u32, Failure> {
    let deleted: Vec<SessionId> = {
        let mut statement = transaction.prepare_cached(DELETE_EXPIRED_SESSIONS)?;
        collect(statement.query(params![clamped_nanoseconds(before), limit])?, |row| row.id(0))?
    };
    for id in &deleted {
        transaction.prepare_cached(DELETE_REVOCATION)?.execute([id_bytes(*id)])?;
    }
    Ok(u32::try_from(deleted.len()).unwrap_or(limit))
}

fn create_link(transaction: &Transaction<'_>, new: &NewLoginLink) -> Result<LoginLinkCreation, Failure> {
    let account_id = id_bytes(new.link.account_id);
    let account = match check_link_account(find_account(transaction, FIND_ACCOUNT, [account_id])?) {
        Ok(account) => account,
        Err(refusal) => return Ok(refusal),
    };
    let link = LoginLink { as_of: account.revocation, ..new.link.clone() };
    transaction.prepare_cached(INSERT_LINK)?.execute(params![
        new.hash.0,
        account_id,
        link.as_of,
        exact_nanoseconds(link.created_at)?,
        id_bytes(link.created_by),
        exact_nanoseconds(link.expires_at)?,
    ])?;
    transaction.prepare_cached(DELETE_EXCESS_LINKS)?.execute(params![account_id, new.max_open])?;
    Ok(LoginLinkCreation::Created(link))
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn create_session(&self, new: &NewSession) -> Result<SessionCreation, StoreError> {
        let new = new.clone();
        self.writer.write(move |transaction| create(transaction, &new)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.readers.read(move |connection| find(connection, FIND_SESSION, [id_bytes(id)])).await
    }

    async fn session_by_hash(&self, hash: &SecretHash) -> Result<Option<(Session, Account)>, StoreError> {
        let SecretHash(hash) = *hash;
        self.readers
            .read(move |connection| {
                let session = find(connection, FIND_SESSION_BY_HASH, [hash])?;
                with_account(connection, session, |session| session.account_id)
            })
            .await
    }

    async fn sessions(
        &self,
        account_id: AccountId,
        after: Option<SessionId>,
        limit: PageSize,
    ) -> Result<Vec<Session>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, id_bytes);
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_SESSIONS)?;
                let rows = statement.query(params![id_bytes(account_id), after, limit.get()])?;
                collect(rows, |row| session_of(row))
            })
            .await
    }

    async fn record_session_uses(&self, uses: &[SessionUse]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.writer
            .write(move |transaction| {
                let mut statement = transaction.prepare_cached(RECORD_SESSION_USE)?;
                for SessionUse { id, at, expires_at } in &uses {
                    let times = (clamped_nanoseconds(*at), clamped_nanoseconds(*expires_at));
                    statement.execute(params![id_bytes(*id), times.0, times.1])?;
                }
                Ok(())
            })
            .await
    }

    async fn delete_expired_sessions(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        self.writer.write(move |transaction| delete_expired(transaction, expired_before, limit)).await
    }

    async fn create_login_link(
        &self,
        new: &NewLoginLink,
        by: Option<Credential>,
    ) -> Result<LoginLinkCreation, StoreError> {
        let new = new.clone();
        self.writer
            .write(move |transaction| {
                if revocations::is_void(transaction, by)? {
                    return Ok(LoginLinkCreation::CallerRevoked);
                }
                create_link(transaction, &new)
            })
            .await
    }

    async fn login_link(&self, hash: &SecretHash) -> Result<Option<(LoginLink, Account)>, StoreError> {
        let SecretHash(hash) = *hash;
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(FIND_LINK)?;
                let link = first(statement.query([hash])?, |row| login_link_of(row))?;
                with_account(connection, link, |link| link.account_id)
            })
            .await
    }

    async fn delete_expired_login_links(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        self.writer
            .write(move |transaction| {
                let parameters = params![clamped_nanoseconds(expired_before), limit];
                let deleted = transaction.prepare_cached(DELETE_EXPIRED_LINKS)?.execute(parameters)?;
                Ok(u32::try_from(deleted).unwrap_or(limit))
            })
            .await
    }
}
