//! Clients of other servers: of payment providers, which implement the engine's port
//! ([`dabba_engine::PaymentGateway`]), and of servers whose URLs users enter ([`dabba_engine::Egress`]).
//!
//! | module | contents |
//! |---|---|
//! | [`egress`] | the guarded client for URLs that users enter |
//! | [`simulated`] | a simulated provider that moves no money: its rules, its HTTP service, and the client |
//! | [`stripe`] | the client of Stripe, and the reader of Stripe's webhooks |

pub mod egress;
pub mod simulated;
pub mod stripe;
mod webhooks;

pub use webhooks::{SimulatedWebhooks, StripeWebhooks};
