//! What a worker does over and over.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;

use super::{
    Load, Mix, Scene,
    connection::{Answered, Call, Connection},
    place_in,
};

/// Does the operations of a load.
pub(super) struct Operator {
    pub(super) load: Arc<Load>,
    pub(super) scene: Arc<Scene>,
}

/// An order as far as it matters here.
#[derive(Deserialize)]
struct Placed {
    id: String,
}

impl Operator {
    /// Does the operation with this number. Answers the id of the order that was placed, if one was. The
    /// error is the kind of failure: a status, `replayed`, or what happened to the connection.
    pub(super) async fn operate(
        &self,
        connection: &mut Connection,
        number: u64,
    ) -> Result<Option<String>, String> {
        match self.load.mix {
            Mix::Place => self.place(connection, number).await.map(Some),
            Mix::Life => self.life(connection, number).await.map(Some),
            Mix::Menu => self.read(connection, number, "menu", false).await,
            Mix::Kitchen => self.read(connection, number, "orders", true).await,
            Mix::Order => self.order(connection, number).await,
            Mix::Replay => self.replay(connection, number).await,
        }
    }

    fn restaurant(&self, number: u64) -> &str {
        &self.scene.restaurants[place_in(number, self.scene.restaurants.len())]
    }

    async fn place(&self, connection: &mut Connection, number: u64) -> Result<String, String> {
        let customers = &self.scene.customers;
        let customer = &customers[place_in(number, customers.len())];
        let answered = self.send_order(connection, &self.load.run, number, customer).await?;
        if answered.is_replay {
            return Err("replayed".into());
        }
        let body = expect(answered, 201)?;
        let placed: Placed =
            serde_json::from_slice(&body).map_err(|_| "an order without an id".to_owned())?;
        Ok(placed.id)
    }

    /// Places an order that an earlier load has placed.
    async fn replay(&self, connection: &mut Connection, number: u64) -> Result<Option<String>, String> {
        let Some(placed) = &self.scene.placed else { return Err("nothing to place again".into()) };
        let customer = &self.scene.customers[0];
        let answered = self.send_order(connection, &placed.run, number % placed.count, customer).await?;
        if !answered.is_replay {
            return Err("not replayed".into());
        }
        expect(answered, 201).map(|_| None)
    }

    async fn send_order(
        &self,
        connection: &mut Connection,
        run: &str,
        number: u64,
        customer: &str,
    ) -> Result<Answered, String> {
        let path = format!("/v1/restaurants/{}/orders", self.restaurant(number));
        let key = format!("{run}-{number}");
        let call = Call {
            method: Method::POST,
            path: &path,
            token: Some(customer),
            key: Some(&key),
            body: self.scene.order.clone(),
        };
        connection.send(call).await
    }

    async fn life(&self, connection: &mut Connection, number: u64) -> Result<String, String> {
        let id = self.place(connection, number).await?;
        let (staff, courier) = (self.scene.staff.as_str(), self.scene.courier.as_str());
        let minutes = Bytes::from_static(br#"{"preparation_minutes":15}"#);
        for (command, token, body) in [
            ("accept", staff, minutes),
            ("assign", courier, Bytes::new()),
            ("ready", staff, Bytes::new()),
            ("pick-up", courier, Bytes::new()),
            ("deliver", courier, Bytes::new()),
        ] {
            let path = format!("/v1/orders/{id}/{command}");
            let call = Call { method: Method::POST, path: &path, token: Some(token), key: None, body };
            expect(connection.send(call).await?, 200)?;
        }
        Ok(id)
    }

    async fn read(
        &self,
        connection: &mut Connection,
        number: u64,
        what: &str,
        is_for_staff: bool,
    ) -> Result<Option<String>, String> {
        let path = format!("/v1/restaurants/{}/{what}", self.restaurant(number));
        let token = is_for_staff.then_some(self.scene.staff.as_str());
        let call = Call { method: Method::GET, path: &path, token, key: None, body: Bytes::new() };
        expect(connection.send(call).await?, 200).map(|_| None)
    }

    async fn order(&self, connection: &mut Connection, number: u64) -> Result<Option<String>, String> {
        // Steps that are prime to most counts, so that no two readers go the same way.
        let place = place_in(number.wrapping_mul(7_919), self.scene.orders.len());
        let (id, customer) = &self.scene.orders[place];
        let path = format!("/v1/orders/{id}");
        let token = Some(self.scene.customers[*customer].as_str());
        let call = Call { method: Method::GET, path: &path, token, key: None, body: Bytes::new() };
        expect(connection.send(call).await?, 200).map(|_| None)
    }
}

fn expect(answered: Answered, status: u16) -> Result<Bytes, String> {
    if answered.status == status { Ok(answered.body) } else { Err(answered.status.to_string()) }
}
