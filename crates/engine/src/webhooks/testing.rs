//! Limits of concurrent test events. A test holds a connection for up to the time of a delivery, and returns to its caller
//! what an address responds. So a process sends few of them, and each caller has a part of them only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dabba_domain::{AccountId, WebhookEndpointId};

use super::{Webhooks, require_write};
use crate::{Error, Principal};

/// Maximum number of test events that a process sends at the same time.
pub const MAX_CONCURRENT_TESTS: usize = 16;

/// Maximum number of test events that a process sends at the same time for one account, with all its tokens and API keys.
pub const MAX_CONCURRENT_TESTS_PER_ACCOUNT: usize = 4;

/// The reason why a test event is not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotTested {
    /// The caller's account has [`MAX_CONCURRENT_TESTS_PER_ACCOUNT`] tests under way.
    #[error(
        "the account has {MAX_CONCURRENT_TESTS_PER_ACCOUNT} tests under way, which is the maximum; retry after one of them"
    )]
    Account,
    /// Every other reason.
    #[error(transparent)]
    Error(#[from] Error),
}

/// The tests under way: their number by account.
#[derive(Debug, Default)]
pub(super) struct Tests(Mutex<HashMap<AccountId, usize>>);

impl Tests {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a test of an account, within both limits.
    fn begin(self: &Arc<Self>, account: AccountId) -> Result<TestPermit, NotTested> {
        let mut running = self.lock();
        let total: usize = running.values().sum();
        let own = running.get(&account).copied().unwrap_or_default();
        // The account's limit is stated first, because its callers can do something about it.
        if own >= MAX_CONCURRENT_TESTS_PER_ACCOUNT {
            return Err(NotTested::Account);
        }
        if total >= MAX_CONCURRENT_TESTS {
            return Err(Error::Overloaded.into());
        }
        running.insert(account, own + 1);
        Ok(TestPermit { tests: Arc::clone(self), account })
    }
}

/// Permission to send a test event, until it is dropped.
#[derive(Debug)]
pub struct TestPermit {
    tests: Arc<Tests>,
    account: AccountId,
}

impl Drop for TestPermit {
    fn drop(&mut self) {
        let mut running = self.tests.lock();
        if let Some(own) = running.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.account);
            }
        }
    }
}

impl Webhooks {
    /// Allows a test event to an endpoint. For the staff of its restaurant and admins.
    pub async fn begin_test(
        &self,
        principal: &Principal,
        id: WebhookEndpointId,
    ) -> Result<TestPermit, NotTested> {
        require_write(principal)?;
        self.visible(principal, id).await?;
        self.tests.begin(principal.account_id)
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::{Bucket, Timestamp};

    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, number << 8)
    }

    /// Proves that one account cannot use all tests of a process, that the process has a limit for all accounts, and that
    /// a test that has ended counts no more.
    #[test]
    fn tests_are_limited_by_account_and_in_total() {
        let tests = Arc::new(Tests::default());
        let mut running = Vec::new();
        for number in 0..MAX_CONCURRENT_TESTS / MAX_CONCURRENT_TESTS_PER_ACCOUNT {
            let account = account(number.try_into().unwrap());
            running.extend((0..MAX_CONCURRENT_TESTS_PER_ACCOUNT).map(|_| tests.begin(account).unwrap()));
            assert!(matches!(tests.begin(account), Err(NotTested::Account)), "{number}");
        }
        let other = account(99);
        assert!(matches!(tests.begin(other), Err(NotTested::Error(Error::Overloaded))));
        running.pop();
        drop(tests.begin(other).unwrap());
        drop(running);
        assert!(tests.lock().is_empty(), "{tests:?}");
    }
}
