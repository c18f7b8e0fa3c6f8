//! Limits of API keys that do not exist: they share the limits of wrong passwords of a network and of a site.

use std::hash::BuildHasher as _;

use governor::clock::Clock;

use super::{Logins, Refusal};
use crate::ClientAddress;

impl<C: Clock + Clone> Logins<C> {
    /// Refuses a client whose network or site has made too many wrong attempts, without counting an attempt. For API keys that
    /// must be looked up in a database: a valid key never counts, however many a network uses.
    pub(in crate::limit) fn check(&self, client: ClientAddress) -> Result<(), Refusal> {
        let key = self.hashes.hash_one(client);
        self.network.take(key)?;
        self.network.restore(key);
        if client.has_many_networks() {
            let key = self.hashes.hash_one(client.site());
            self.site.take(key)?;
            self.site.restore(key);
        }
        Ok(())
    }

    /// Counts an API key that does not exist like a wrong password of the client's network.
    pub(in crate::limit) fn count_failure(&self, client: ClientAddress) {
        // An empty bucket stays empty: concurrent failures may exceed the limit by their number.
        let _ = self.network.take(self.hashes.hash_one(client));
        if client.has_many_networks() {
            let _ = self.site.take(self.hashes.hash_one(client.site()));
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::super::{
        NETWORK,
        tests::{from, logins},
    };

    /// Proves that API keys that do not exist count as wrong passwords of their network, that checks count as nothing, and that
    /// other networks go on.
    #[test]
    fn unknown_keys_are_limited_for_a_network() {
        let logins = logins(&FakeRelativeClock::default());
        for client in [from("192.0.2.1"), from("2001:db8::1")] {
            for _ in 0..1_000 {
                logins.check(client).unwrap();
            }
            for _ in 0..20 {
                logins.check(client).unwrap();
                logins.count_failure(client);
            }
            assert_eq!(logins.check(client).unwrap_err().policy.unwrap().0, NETWORK);
        }
        logins.begin(from("192.0.2.1"), "ada@example.org").unwrap_err();
        logins.check(from("192.0.2.2")).unwrap();
        logins.check(from("2001:db8:0:1::1")).unwrap();
    }
}
