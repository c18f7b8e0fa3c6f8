//! Bearer tokens and the key that signs them.

use std::{path::PathBuf, time::Duration};

use confique::Config;

use super::Bounded;

/// Tokens.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: tokens")))]
pub(crate) struct Tokens {
    /// File with the key that signs tokens, as at least 64 hexadecimal digits; default `signing-key` in the data directory,
    /// created at the first start.
    #[config(env = "DABBA_SIGNING_KEY_FILE")]
    #[config(layer_attr(arg(long, value_name = "FILE")))]
    pub(crate) signing_key_file: Option<PathBuf>,

    /// Lifetime of a token, in seconds. 60 to 31,536,000; default 43,200.
    #[config(env = "DABBA_TOKEN_LIFETIME_SECONDS", default = 43_200)]
    #[config(layer_attr(arg(long, value_name = "SECONDS")))]
    pub(crate) token_lifetime_seconds: Bounded<60, 31_536_000>,
}

impl Tokens {
    /// Returns the lifetime of a token.
    pub(crate) const fn lifetime(&self) -> Duration {
        self.token_lifetime_seconds.seconds()
    }
}
