//! Limits of secrets that do not exist: they share the limits of wrong passwords of a network and of a site.

use std::hash::BuildHasher as _;

use governor::clock::Clock;

use super::{Logins, Refusal};
use crate::ClientAddress;

impl<C: Clock + Clone> Logins<C> {
    /// Takes the tokens of a wrong password of the client's network and site, or refuses the client and takes none.
    pub(in crate::limit) fn take_failure(&self, client: ClientAddress) -> Result<(), Refusal> {
        let network = self.hashes.hash_one(client);
        self.network.take(network)?;
        if !client.has_many_networks() {
            return Ok(());
        }
        let taken = self.site.take(self.hashes.hash_one(client.site()));
        taken.inspect_err(|_| self.network.restore(network))
    }

    /// Returns the tokens that [`Self::take_failure`] took.
    pub(in crate::limit) fn restore_failure(&self, client: ClientAddress) {
        self.network.restore(self.hashes.hash_one(client));
        if client.has_many_networks() {
            self.site.restore(self.hashes.hash_one(client.site()));
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

    /// Proves that API keys that do not exist count as wrong passwords of their network, that keys that exist count as nothing, and that
    /// other networks go on.
    #[test]
    fn unknown_keys_are_limited_for_a_network() {
        let logins = logins(&FakeRelativeClock::default());
        for client in [from("192.0.2.1"), from("2001:db8::1")] {
            for _ in 0..1_000 {
                logins.take_failure(client).unwrap();
                logins.restore_failure(client);
            }
            for _ in 0..20 {
                logins.take_failure(client).unwrap();
            }
            assert_eq!(logins.take_failure(client).unwrap_err().policy.unwrap().0, NETWORK);
        }
        logins.begin(from("192.0.2.1"), "ada@example.org").unwrap_err();
        logins.take_failure(from("192.0.2.2")).unwrap();
        logins.take_failure(from("2001:db8:0:1::1")).unwrap();
    }
}
