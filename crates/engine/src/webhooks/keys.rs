//! The check that protects the secrets of an installation from a server with other keys.

use dabba_store::{PageSize, SealedSecret, StoreError, WebhookEndpoint};

use super::{Webhooks, webhook_secret_place};
use crate::Error;

/// Maximum number of pages of endpoints that are read to find a secret that opens. Usually the first endpoint has one.
const MAX_PAGES: u32 = 20;

impl Webhooks {
    /// Refuses to seal a secret while endpoints exist and the keys open the secret of none. Such a server has the keys
    /// of another installation: no other server could sign with what it seals, and it would itself begin to send.
    pub(super) async fn check_keys(&self) -> Result<(), Error> {
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = match self.store.webhook_endpoints(None, after, PageSize::DEFAULT).await {
                Ok(page) => page,
                // An endpoint of a newer version does not prove that the keys are wrong.
                Err(StoreError::WrittenByNewer(_) | StoreError::Corrupt(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if page.iter().any(|endpoint| self.opens(endpoint)) {
                return Ok(());
            }
            let is_last = page.len() < PageSize::DEFAULT.get() as usize;
            if is_last && after.is_none() && page.is_empty() {
                return Ok(());
            }
            if is_last {
                break;
            }
            after = page.last().map(|endpoint| endpoint.id);
        }
        Err(Error::SecretsKey)
    }

    /// Returns whether the keys open the newest secret of an endpoint.
    fn opens(&self, endpoint: &WebhookEndpoint) -> bool {
        let row = endpoint.id.to_string();
        let open = |secret: &SealedSecret| self.keys.open(webhook_secret_place(&row), &secret.sealed).is_ok();
        endpoint.settings.secrets.first().is_some_and(open)
    }
}
