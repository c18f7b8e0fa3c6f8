//! Clients of payment providers and of a message broker. They implement the engine's ports
//! ([`dabba_engine::PaymentGateway`], [`dabba_engine::EventSink`]).
//!
//! | module | contents |
//! |---|---|
//! | [`nats`] | the client of the message broker NATS JetStream |
//! | [`simulated`] | a simulated provider that moves no money: its rules, its HTTP service, and the client |
//! | [`stripe`] | the client of Stripe, and the reader of Stripe's webhooks |

pub mod nats;
pub mod simulated;
pub mod stripe;
mod webhooks;

pub use webhooks::{SimulatedWebhooks, StripeWebhooks};
