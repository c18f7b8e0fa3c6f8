//! Webhook endpoints of the restaurant, and everything that writes them.

use dabba_store::{WebhookFault, WebhookHealth};
use dabba_testkit::{WebhookReceiver, equal, eventually};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    recorder::Caller::{self, Admin, Staff},
    scene::{Scene, id},
};

const CREATE: &str = "POST /v1/webhook-endpoints";
const CHANGE: &str = "PATCH /v1/webhook-endpoints/{endpoint_id}";

impl Scene {
    /// Creates a webhook endpoint with every field, and another one. Returns the id of the first.
    pub(super) async fn create_webhooks(&mut self) -> String {
        let receiver = WebhookReceiver::start().await;
        receiver.respond_with(500);
        let restaurant = self.server.restaurant.to_string();
        // The only event of this type is in the feed, and earlier than every replay, which begins up to a minute before
        // its time. So no sender writes attempts.
        eventually("the feed contains the event", async || {
            let path = "/v1/events?after=start&types=refund_reversed";
            let page = self.server.get(path, Some(&self.server.admin)).await.expect(200);
            equal(page["events"].as_array().unwrap().len(), &1)
        })
        .await;
        self.server.advance(SignedDuration::from_secs(61));
        let body = json!({"restaurant_id": restaurant, "url": receiver.url(), "types": ["refund_reversed"]});
        let endpoint = id(&self.done(Staff, CREATE, &[], body.clone()).await).to_owned();
        self.done(Admin, CREATE, &[], body).await;
        let at = self.server.now();
        let fault = WebhookFault { at, status: Some(500), error: "the endpoint responded with 500".into() };
        let health = WebhookHealth { last_success: Some(at), last_failure: Some(fault) };
        let reports = [(endpoint.parse().unwrap(), health)];
        self.server.store().report_webhook_health(&reports).await.unwrap();
        for caller in [Staff, Admin] {
            for (request, body) in [
                ("POST /v1/webhook-endpoints/{endpoint_id}/test", Value::Null),
                (CHANGE, json!({"enabled": false})),
                ("POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret", Value::Null),
                ("POST /v1/webhook-endpoints/{endpoint_id}/enable", Value::Null),
                ("POST /v1/webhook-endpoints/{endpoint_id}/replay", json!({"since": at.to_string()})),
            ] {
                self.done(caller, request, &[&endpoint], body).await;
            }
        }
        self.done(Staff, CHANGE, &[&endpoint], json!({"enabled": false})).await;
        endpoint
    }

    /// Reads the endpoint and the list as each caller.
    pub(super) async fn read_webhooks(&mut self, endpoint: &str) {
        let restaurant = self.server.restaurant.to_string();
        for caller in Caller::ALL {
            for request in [
                "GET /v1/webhook-endpoints?restaurant_id={restaurant_id}",
                "GET /v1/webhook-endpoints?limit=1&restaurant_id={restaurant_id}",
            ] {
                self.send(caller, request, &[&restaurant], &Value::Null).await;
            }
            for request in [
                "GET /v1/webhook-endpoints/{endpoint_id}",
                "GET /v1/webhook-endpoints/{endpoint_id}/attempts",
                "GET /v1/webhook-endpoints/{endpoint_id}/failures",
            ] {
                self.send(caller, request, &[endpoint], &Value::Null).await;
            }
        }
    }
}
