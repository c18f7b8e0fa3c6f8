//! Limits per account and per client address, which protect the server from abuse.

use std::num::{NonZeroU32, NonZeroUsize};

use confique::Config;
use dabba_web::{AccountRates, Rate, RateLimits};

use super::Bounded;

/// Limits per account and address.
#[derive(Config, Debug)]
#[config(layer_attr(derive(clap::Args, Debug)))]
#[config(layer_attr(command(next_help_heading = "Settings: limits per account and address")))]
#[expect(
    clippy::struct_field_names,
    reason = "a field is named like its setting, and the names of settings are flat"
)]
pub(crate) struct Limits {
    /// Maximum number of wrong passwords for one e-mail address from one network (an IPv4 address, or an IPv6 /48) in 5 minutes;
    /// ten times as many from all networks that have failed before, together in 50 minutes. 1 to 1,000,000; default 10.
    #[config(env = "DABBA_TOKENS_PER_EMAIL_LIMIT", default = 10)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) tokens_per_email_limit: Bounded<1, 1_000_000>,

    /// Maximum number of wrong passwords from one client address (of IPv6, a /64) in a minute; ten times as many from an IPv6
    /// /48. 1 to 1,000,000; default 60.
    #[config(env = "DABBA_TOKENS_PER_ADDRESS_LIMIT", default = 60)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) tokens_per_address_limit: Bounded<1, 1_000_000>,

    /// Maximum number of attempts to register an account from one client address (of IPv6, a /64) in an hour, other than by
    /// admins; ten times as many from an IPv6 /48. Refused attempts and retries count. 1 to 1,000,000; default 20.
    #[config(env = "DABBA_ACCOUNTS_PER_ADDRESS_LIMIT", default = 20)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) accounts_per_address_limit: Bounded<1, 1_000_000>,

    /// Maximum number of quotes per minute from one client address. 0 to 1,000,000; default 600; 0 means no limit.
    #[config(env = "DABBA_QUOTES_PER_ADDRESS_LIMIT", default = 600)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) quotes_per_address_limit: Bounded<0, 1_000_000>,

    /// Maximum number of requests per minute with the tracking links of one order, together: reads, streams that begin, and
    /// cancellations. 0 to 1,000,000; default 120; 0 means no limit.
    #[config(env = "DABBA_TRACKING_PER_ORDER_LIMIT", default = 120)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) tracking_per_order_limit: Bounded<0, 1_000_000>,

    /// Maximum number of open orders of one customer that this server has placed. 0 to 1,000; default 20; 0 means no limit. An
    /// order is open until it is delivered or ends otherwise; after 24 hours it no longer counts.
    #[config(env = "DABBA_OPEN_ORDERS_LIMIT", default = 20)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) open_orders_limit: Bounded<0, 1_000>,

    /// Maximum number of writes per minute of one customer: requests other than GET and HEAD, refused ones included. 0 to
    /// 1,000,000; default 120; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_WRITES_LIMIT", default = 120)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) customer_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one customer sends per minute, in KiB. 0 to 4,000,000; default 1,024; 0 means no limit.
    #[config(env = "DABBA_CUSTOMER_BODY_KIB_LIMIT", default = 1024)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) customer_body_kib_limit: Bounded<0, 4_000_000>,

    /// Maximum number of writes per minute of one account of restaurant staff or of a courier. 0 to 1,000,000; default 1,200; 0
    /// means no limit. Admins have no limit.
    #[config(env = "DABBA_STAFF_WRITES_LIMIT", default = 1200)]
    #[config(layer_attr(arg(long, value_name = "NUMBER")))]
    pub(crate) staff_writes_limit: Bounded<0, 1_000_000>,

    /// Maximum size of the bodies that one account of restaurant staff or of a courier sends per minute, in KiB. 0 to 4,000,000;
    /// default 65,536; 0 means no limit. A menu has up to 4,096 KiB.
    #[config(env = "DABBA_STAFF_BODY_KIB_LIMIT", default = 65_536)]
    #[config(layer_attr(arg(long, value_name = "KIB")))]
    pub(crate) staff_body_kib_limit: Bounded<0, 4_000_000>,
}

impl Limits {
    /// Returns the maximum number of open orders of one customer; `None` means no limit.
    pub(crate) fn max_open_orders(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.open_orders_limit.size())
    }

    /// Returns the rates of requests.
    pub(crate) fn rate_limits(&self) -> RateLimits {
        let defaults = RateLimits::default();
        RateLimits {
            tokens_per_email: rate(self.tokens_per_email_limit, defaults.tokens_per_email),
            tokens_per_address: rate(self.tokens_per_address_limit, defaults.tokens_per_address),
            accounts_per_address: rate(self.accounts_per_address_limit, defaults.accounts_per_address),
            quotes_per_address: Rate::per_minute(self.quotes_per_address_limit.small()),
            tracking_per_order: Rate::per_minute(self.tracking_per_order_limit.small()),
            customers: AccountRates::per_minute(
                self.customer_writes_limit.small(),
                self.customer_body_kib_limit.small().saturating_mul(1024),
            ),
            staff: AccountRates::per_minute(
                self.staff_writes_limit.small(),
                self.staff_body_kib_limit.small().saturating_mul(1024),
            ),
        }
    }
}

/// Returns the default rate with this number of requests.
fn rate(limit: Bounded<1, 1_000_000>, default: Rate) -> Rate {
    Rate { requests: NonZeroU32::new(limit.small()).unwrap_or(NonZeroU32::MIN), ..default }
}
