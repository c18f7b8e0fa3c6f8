//! Clients of payment providers. Both implement the engine's port ([`dabba_engine::PaymentGateway`]).
//!
//! | module | contents |
//! |---|---|
//! | [`simulated`] | a simulated provider that moves no money: its rules, its HTTP service, and the client |
//! | [`stripe`] | the client of Stripe, and the reader of Stripe's webhooks |

pub mod simulated;
pub mod stripe;
mod webhooks;

pub use webhooks::{SimulatedWebhooks, StripeWebhooks};
