//! Clients of other servers: of payment providers, which implement the engine's port
//! ([`dabba_engine::PaymentGateway`]), of servers whose URLs users enter ([`dabba_engine::Egress`]), and of a message
//! broker ([`dabba_engine::EventSink`]).
//!
//! | module | contents |
//! |---|---|
//! | [`egress`] | the guarded client for URLs that users enter |
//! | [`nats`] | the client of the message broker NATS JetStream |
//! | [`simulated`] | a simulated provider that moves no money: its rules, its HTTP service, and the client |
//! | [`stripe`] | the client of Stripe, and the reader of Stripe's webhooks |

pub mod egress;
pub mod nats;
pub mod simulated;
pub mod stripe;
mod webhooks;

pub use webhooks::{SimulatedWebhooks, StripeWebhooks};
