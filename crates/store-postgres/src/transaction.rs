//! Writes of several statements as one transaction.

use std::sync::Arc;

use dabba_domain::RestaurantId;
use dabba_store::{ClaimAt, StoreError, UnderKey};
use dabba_store_sql::claims::Written;

use crate::{
    PostgresStore, claims,
    failure::Failure,
    pool::{BEGIN_SERIALIZABLE, Connection, Step},
};

impl PostgresStore {
    /// Makes a write under an idempotency key as one SERIALIZABLE transaction, unless the key is claimed already.
    /// `write` returns its outcome and, if it wrote, the resource and version that the key then leads to.
    pub(crate) async fn under_key<T, F>(
        &self,
        claim: Option<ClaimAt<'_>>,
        scope: Option<RestaurantId>,
        write: impl Fn(Arc<Connection>) -> F,
    ) -> Result<UnderKey<T>, StoreError>
    where
        F: Future<Output = Result<(T, Written), Failure>>,
    {
        let write = &write;
        let ended = self
            .in_transaction(|connection| async move {
                if let Some(claim) = claim
                    && let Some(record) = claims::find(&connection, claim, scope).await?
                {
                    return Ok(UnderKey::Claimed(record));
                }
                let (ended, written) = write(Arc::clone(&connection)).await?;
                if let (Some(claim), Some((resource, version))) = (claim, written) {
                    claims::insert(&connection, claim, scope, &resource, version).await?;
                }
                Ok(UnderKey::Ended(ended))
            })
            .await?;
        if matches!(ended, UnderKey::Claimed(_)) {
            self.confirm().await?;
        }
        Ok(ended)
    }

    /// Returns when every commit that is visible now is as durable as this store's own commits. A response from an
    /// idempotency record acknowledges a write, so it must wait for this.
    pub(crate) async fn confirm(&self) -> Result<(), StoreError> {
        self.read(async |connection| connection.confirm().await).await
    }

    /// Runs `work` as one SERIALIZABLE transaction, and retries it after a conflict.
    pub(crate) async fn in_transaction<T, F>(
        &self,
        work: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = self.retry.begin();
        loop {
            let attempt = async {
                let connection = Arc::new(self.connection().await?);
                connection.begin_with(BEGIN_SERIALIZABLE, |_| Vec::<Step<'_, ()>>::new()).await?;
                match work(Arc::clone(&connection)).await {
                    Ok(value) => connection.commit().await.map(|()| value),
                    Err(failure) => {
                        connection.rollback().await;
                        Err(failure)
                    }
                }
            };
            match attempt.await {
                Ok(value) => return Ok(value),
                Err(failure) => attempts.after_failure(failure).await?,
            }
        }
    }
}
