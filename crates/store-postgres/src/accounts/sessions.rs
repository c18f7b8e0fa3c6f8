//! Sessions and login links.

use async_trait::async_trait;
use dabba_domain::{AccountId, SessionId, Timestamp, ids::Id};
use dabba_store::{
    Account, Credential, LoginLink, LoginLinkCreation, NewLoginLink, NewSession, PageSize,
    RevocationRevision, SecretHash, Session, SessionCreation, SessionStore, SessionUse, StoreError, Subject,
    encoding::{clamped_nanoseconds, exact_nanoseconds},
};
use dabba_store_sql::{
    BELOW_EVERY_ID, StoredRow as _,
    accounts::{account_of, check_link_account, excess_sessions, login_link_of, may_log_in, session_of},
    login_link_columns, session_columns,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{FIND_ACCOUNT, revocations, with_account};
use crate::{
    PostgresStore,
    codec::{collect, first, storable_text},
    failure::Failure,
    pool::Connection,
};

/// First schema version with sessions.
pub(super) const SCHEMA: u32 = 16;

const INSERT_SESSION: &str = "\
    INSERT INTO sessions (id, account_id, hash, as_of, created_at_ns, expires_at_ns, user_agent) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Finds the active sessions of an account, with the time since which each is unused. Parameters: the account and the time.
pub(super) const FIND_ACTIVE_SESSIONS: &str = "\
    SELECT id, coalesce(last_used_at_ns, created_at_ns) FROM sessions \
    WHERE account_id = $1 AND revoked_at_ns IS NULL AND expires_at_ns > $2";

pub(super) const FIND_SESSION: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1");

pub(super) const FIND_SESSION_BY_HASH: &str =
    concat!("SELECT ", session_columns!(), " FROM sessions WHERE hash = $1");

pub(super) const FIND_SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3"
);

pub(super) const REVOKE_SESSION: &str = "\
    UPDATE sessions SET revoked_at_ns = $2, expires_at_ns = least(expires_at_ns, $2) \
    WHERE id = $1 AND revoked_at_ns IS NULL";

pub(super) const REVOKE_SESSIONS_OF_ACCOUNT: &str = "\
    UPDATE sessions SET revoked_at_ns = $2, expires_at_ns = least(expires_at_ns, $2) \
    WHERE account_id = $1 AND revoked_at_ns IS NULL";

/// Returns a row if a session is usable. Parameters: the session and its account.
pub(super) const IS_SESSION_USABLE: &str =
    "SELECT 1 FROM sessions WHERE id = $1 AND account_id = $2 AND revoked_at_ns IS NULL";

/// Records uses. Parameters: the sessions, the times of the uses and the times of the expiry, as arrays.
pub(super) const RECORD_SESSION_USES: &str = "\
    UPDATE sessions SET last_used_at_ns = greatest(last_used_at_ns, used.at_ns), \
        expires_at_ns = greatest(sessions.expires_at_ns, used.expires_at_ns) \
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS used (id, at_ns, expires_at_ns) \
    WHERE sessions.id = used.id AND revoked_at_ns IS NULL";

/// Parameters: time, limit.
pub(super) const DELETE_EXPIRED_SESSIONS: &str = "\
    DELETE FROM sessions WHERE id = ANY (ARRAY( \
        SELECT id FROM sessions WHERE expires_at_ns < $1 ORDER BY expires_at_ns LIMIT $2)) \
    RETURNING id";

pub(super) const DELETE_REVOCATIONS: &str =
    "DELETE FROM revocations WHERE subject_kind = 'session' AND subject_id = ANY ($1)";

const INSERT_LINK: &str = "\
    INSERT INTO login_links (hash, account_id, as_of, created_at_ns, created_by, expires_at_ns) \
    VALUES ($1, $2, $3, $4, $5, $6)";

/// Deletes the oldest links of an account beyond a number.
pub(super) const DELETE_EXCESS_LINKS: &str = "\
    DELETE FROM login_links WHERE hash = ANY (ARRAY( \
        SELECT hash FROM login_links WHERE account_id = $1 ORDER BY created_at_ns DESC OFFSET $2))";

pub(super) const FIND_LINK: &str =
    concat!("SELECT ", login_link_columns!(), " FROM login_links WHERE hash = $1");

/// Parameters: the link, its account, and the time. Returns the revision that the link states.
pub(super) const CONSUME_LINK: &str = "\
    DELETE FROM login_links WHERE hash = $1 AND account_id = $2 AND expires_at_ns > $3 RETURNING as_of";

/// Parameters: time, limit.
pub(super) const DELETE_EXPIRED_LINKS: &str = "\
    DELETE FROM login_links WHERE hash = ANY (ARRAY( \
        SELECT hash FROM login_links WHERE expires_at_ns < $1 ORDER BY expires_at_ns LIMIT $2))";

/// Returns whether a session exists, belongs to this account and is not revoked.
pub(super) async fn is_usable(
    connection: &Connection,
    account_id: AccountId,
    id: SessionId,
) -> Result<bool, Failure> {
    Ok(!connection.query(IS_SESSION_USABLE, &[&id.uuid(), &account_id.uuid()]).await?.is_empty())
}

/// Creates a session in a SERIALIZABLE transaction: of two transactions that both count the active sessions, or that both consume
/// the same link, only one commits at first.
async fn create(connection: &Connection, new: &NewSession) -> Result<SessionCreation, Failure> {
    let session = &new.session;
    let account_id = session.account_id.uuid();
    let created_at_ns = exact_nanoseconds(session.created_at)?;
    let mut as_of = session.as_of;
    if let Some(SecretHash(link)) = &new.link {
        let rows = connection.query(CONSUME_LINK, &[&&link[..], &account_id, &created_at_ns]).await?;
        let Some(of_link) = first(&rows, |row| row.integer(0))? else { return Ok(SessionCreation::NoLink) };
        as_of = as_of.min(of_link);
    }
    let account = first(&connection.query(FIND_ACCOUNT, &[&account_id]).await?, account_of)?;
    if !account.is_some_and(|account| may_log_in(&account, as_of)) {
        return Ok(SessionCreation::Void);
    }
    let ended = end_excess(connection, new, created_at_ns).await?;
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &session.id.uuid(),
        &account_id,
        &&new.hash.0[..],
        &session.as_of,
        &created_at_ns,
        &exact_nanoseconds(session.expires_at)?,
        &session.user_agent.as_deref().map(storable_text),
    ];
    connection.execute(INSERT_SESSION, &parameters).await?;
    Ok(SessionCreation::Created { session: Box::new(session.clone()), ended })
}

/// Revokes the active sessions of the account for which a new session has no place.
async fn end_excess(
    connection: &Connection,
    new: &NewSession,
    created_at_ns: i64,
) -> Result<Vec<(SessionId, RevocationRevision)>, Failure> {
    let NewSession { session: Session { account_id, created_at, .. }, max_active, .. } = new;
    let rows = connection.query(FIND_ACTIVE_SESSIONS, &[&account_id.uuid(), &created_at_ns]).await?;
    let active: Vec<_> = collect(&rows, |row| Ok((row.integer(1)?, row.id(0)?)))?;
    let mut ended = Vec::new();
    for id in excess_sessions(active, *max_active) {
        connection.execute(REVOKE_SESSION, &[&id.uuid(), &created_at_ns]).await?;
        ended.push((id, revocations::revoke(connection, Subject::Session(id), *created_at).await?));
    }
    Ok(ended)
}

pub(super) async fn find(connection: &Connection, id: SessionId) -> Result<Option<Session>, Failure> {
    first(&connection.query(FIND_SESSION, &[&id.uuid()]).await?, session_of)
}

async fn create_link(connection: &Connection, new: &NewLoginLink) -> Result<LoginLinkCreation, Failure> {
    let account_id = new.link.account_id.uuid();
    let found = first(&connection.query(FIND_ACCOUNT, &[&account_id]).await?, account_of)?;
    let account = match check_link_account(found) {
        Ok(account) => account,
        Err(refusal) => return Ok(refusal),
    };
    let link = LoginLink { as_of: account.revocation, ..new.link.clone() };
    let parameters: [&(dyn ToSql + Sync); 6] = [
        &&new.hash.0[..],
        &account_id,
        &link.as_of,
        &exact_nanoseconds(link.created_at)?,
        &link.created_by.uuid(),
        &exact_nanoseconds(link.expires_at)?,
    ];
    connection.execute(INSERT_LINK, &parameters).await?;
    connection.execute(DELETE_EXCESS_LINKS, &[&account_id, &i64::from(new.max_open)]).await?;
    Ok(LoginLinkCreation::Created(link))
}

impl PostgresStore {
    /// Refuses logins at a server that knows only an earlier schema. Only the test of upgrades has such servers.
    fn require_sessions(&self) -> Result<(), StoreError> {
        if self.known_schema >= SCHEMA {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!("only a server that knows schema version {SCHEMA} has sessions")))
    }
}

#[async_trait]
impl SessionStore for PostgresStore {
    async fn create_session(&self, new: &NewSession) -> Result<SessionCreation, StoreError> {
        self.require_sessions()?;
        self.in_transaction(|connection| async move { create(&connection, new).await }).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.read(async |connection| find(connection, id).await).await
    }

    async fn session_by_hash(&self, hash: &SecretHash) -> Result<Option<(Session, Account)>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(None);
        }
        self.read(async |connection| {
            let rows = connection.query(FIND_SESSION_BY_HASH, &[&&hash.0[..]]).await?;
            with_account(connection, first(&rows, session_of)?, |session| session.account_id).await
        })
        .await
    }

    async fn sessions(
        &self,
        account_id: AccountId,
        after: Option<SessionId>,
        limit: PageSize,
    ) -> Result<Vec<Session>, StoreError> {
        let after = after.map_or(BELOW_EVERY_ID, Id::uuid);
        self.read(async |connection| {
            let limit = i64::from(limit.get());
            let rows = connection.query(FIND_SESSIONS, &[&account_id.uuid(), &after, &limit]).await?;
            collect(&rows, session_of)
        })
        .await
    }

    async fn record_session_uses(&self, uses: &[SessionUse]) -> Result<(), StoreError> {
        if uses.is_empty() || self.known_schema < SCHEMA {
            return Ok(());
        }
        let ids: Vec<Uuid> = uses.iter().map(|used| used.id.uuid()).collect();
        let times: Vec<i64> = uses.iter().map(|used| clamped_nanoseconds(used.at)).collect();
        let expiries: Vec<i64> = uses.iter().map(|used| clamped_nanoseconds(used.expires_at)).collect();
        let (ids, times, expiries) = (&ids, &times, &expiries);
        self.in_transaction(|connection| async move {
            connection.execute(RECORD_SESSION_USES, &[ids, times, expiries]).await?;
            Ok(())
        })
        .await
    }

    async fn delete_expired_sessions(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(0);
        }
        let before_ns = clamped_nanoseconds(expired_before);
        self.in_transaction(|connection| async move {
            let rows = connection.query(DELETE_EXPIRED_SESSIONS, &[&before_ns, &i64::from(limit)]).await?;
            let deleted: Vec<Uuid> = collect(&rows, |row| row.uuid(0))?;
            if !deleted.is_empty() {
                connection.execute(DELETE_REVOCATIONS, &[&deleted]).await?;
            }
            Ok(u32::try_from(deleted.len()).unwrap_or(limit))
        })
        .await
    }

    async fn create_login_link(
        &self,
        new: &NewLoginLink,
        by: Option<Credential>,
    ) -> Result<LoginLinkCreation, StoreError> {
        self.require_sessions()?;
        self.in_transaction(|connection| async move {
            if self.is_void(&connection, by).await? {
                return Ok(LoginLinkCreation::CallerRevoked);
            }
            create_link(&connection, new).await
        })
        .await
    }

    async fn login_link(&self, hash: &SecretHash) -> Result<Option<(LoginLink, Account)>, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(None);
        }
        self.read(async |connection| {
            let rows = connection.query(FIND_LINK, &[&&hash.0[..]]).await?;
            with_account(connection, first(&rows, login_link_of)?, |link| link.account_id).await
        })
        .await
    }

    async fn delete_expired_login_links(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        if self.known_schema < SCHEMA {
            return Ok(0);
        }
        let before_ns = clamped_nanoseconds(expired_before);
        self.in_transaction(|connection| async move {
            let deleted = connection.execute(DELETE_EXPIRED_LINKS, &[&before_ns, &i64::from(limit)]).await?;
            Ok(u32::try_from(deleted).unwrap_or(limit))
        })
        .await
    }
}
