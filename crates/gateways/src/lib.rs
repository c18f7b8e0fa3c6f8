//! Payment providers behind the engine's port ([`dabba_engine::PaymentGateway`]).
//!
//! | module | what it is |
//! |---|---|
//! | [`simulated`] | a provider that moves no money: its rules, a service that offers them over HTTP, and the client |
//! | [`stripe`] | the client of Stripe, and the reader of its webhooks |

pub mod simulated;
pub mod stripe;
mod webhooks;

pub use webhooks::{SimulatedWebhooks, StripeWebhooks};
