//! The operations of a load.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    Method, Uri,
    header::{HeaderValue, LOCATION},
    http::response::Parts,
};

use super::{
    Dataset, Load, Mix,
    connection::{Call, Connection, bearer},
    index_in,
};

/// The header that marks the response to a retry.
const REPLAYED: &str = "idempotency-replayed";
/// The path of orders.
const ORDERS: &str = "/v1/orders/";

/// Runs the operations of a load.
pub(super) struct Operator {
    pub(super) load: Load,
    dataset: Arc<Dataset>,
    staff: HeaderValue,
    courier: HeaderValue,
    customers: Vec<HeaderValue>,
    /// The URLs for placing an order, one per restaurant.
    places: Vec<Uri>,
}

impl Operator {
    /// Prepares the parts that many requests share. The error names a value that cannot be part of a request.
    pub(super) fn new(load: Load, dataset: Arc<Dataset>) -> Result<Self, String> {
        let of = |token: &String| bearer(token).map_err(|error| error.to_string());
        let place = |id: &String| path(format!("/v1/restaurants/{id}/orders"));
        Ok(Self {
            load,
            staff: of(&dataset.staff)?,
            courier: of(&dataset.courier)?,
            customers: dataset.customers.iter().map(of).collect::<Result<_, _>>()?,
            places: dataset.restaurants.iter().map(place).collect::<Result<_, _>>()?,
            dataset,
        })
    }

    /// Runs the operation with this number. Returns the id of the order if the operation placed one. The
    /// error is the kind of failure, such as a status, `replayed` or a connection failure.
    pub(super) async fn run_operation(
        &self,
        connection: &mut Connection,
        number: u64,
    ) -> Result<Option<String>, String> {
        match self.load.mix {
            Mix::Place => self.place(connection, number).await.map(Some),
            Mix::Life => self.life(connection, number).await.map(Some),
            Mix::Menu => self.read(connection, number, "menu", None).await.map(|()| None),
            Mix::Kitchen => self.read(connection, number, "orders", Some(&self.staff)).await.map(|()| None),
            Mix::Order => self.order(connection, number).await.map(|()| None),
            Mix::Replay => self.replay(connection, number).await.map(|()| None),
        }
    }

    async fn place(&self, connection: &mut Connection, number: u64) -> Result<String, String> {
        let customer = &self.customers[index_in(number, self.customers.len())];
        let head = self.send_order(connection, &self.load.run, number, customer).await?;
        if head.headers.contains_key(REPLAYED) {
            return Err("replayed".into());
        }
        expect(&head, 201)?;
        let location = head.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let id = location.and_then(|location| location.strip_prefix(ORDERS));
        id.map(str::to_owned).ok_or_else(|| "no Location of the order".to_owned())
    }

    /// Places an order again that an earlier load placed.
    async fn replay(&self, connection: &mut Connection, number: u64) -> Result<(), String> {
        let Some(placed) = &self.dataset.placed else { return Err("no order to replay".into()) };
        let number = number % placed.count;
        let head = self.send_order(connection, &placed.run, number, &self.customers[0]).await?;
        if !head.headers.contains_key(REPLAYED) {
            return Err("not replayed".into());
        }
        expect(&head, 201)
    }

    async fn send_order(
        &self,
        connection: &mut Connection,
        run: &str,
        number: u64,
        customer: &HeaderValue,
    ) -> Result<Parts, String> {
        let key = HeaderValue::try_from(format!("{run}-{number}")).map_err(|error| error.to_string())?;
        let call = Call {
            method: Method::POST,
            path: self.places[index_in(number, self.places.len())].clone(),
            bearer: Some(customer),
            key: Some(key),
            body: self.dataset.order.clone(),
        };
        connection.send(call).await
    }

    async fn life(&self, connection: &mut Connection, number: u64) -> Result<String, String> {
        let id = self.place(connection, number).await?;
        let minutes = Bytes::from_static(br#"{"preparation_minutes":15}"#);
        for (command, bearer, body) in [
            ("accept", &self.staff, minutes),
            ("assign", &self.courier, Bytes::new()),
            ("ready", &self.staff, Bytes::new()),
            ("pick-up", &self.courier, Bytes::new()),
            ("deliver", &self.courier, Bytes::new()),
        ] {
            let path = path(format!("{ORDERS}{id}/{command}"))?;
            let call = Call { method: Method::POST, path, bearer: Some(bearer), key: None, body };
            expect(&connection.send(call).await?, 200)?;
        }
        Ok(id)
    }

    /// Reads a resource of a restaurant.
    async fn read(
        &self,
        connection: &mut Connection,
        number: u64,
        what: &str,
        bearer: Option<&HeaderValue>,
    ) -> Result<(), String> {
        let restaurants = &self.dataset.restaurants;
        let restaurant = &restaurants[index_in(number, restaurants.len())];
        let path = path(format!("/v1/restaurants/{restaurant}/{what}"))?;
        let call = Call { method: Method::GET, path, bearer, key: None, body: Bytes::new() };
        expect(&connection.send(call).await?, 200)
    }

    async fn order(&self, connection: &mut Connection, number: u64) -> Result<(), String> {
        // The step is a prime number that divides few counts, so that two readers rarely read in the same
        // sequence.
        let place = index_in(number.wrapping_mul(7_919), self.dataset.orders.len());
        let (id, customer) = &self.dataset.orders[place];
        let bearer = Some(&self.customers[*customer]);
        let path = path(format!("{ORDERS}{id}"))?;
        let call = Call { method: Method::GET, path, bearer, key: None, body: Bytes::new() };
        expect(&connection.send(call).await?, 200)
    }
}

fn path(path: String) -> Result<Uri, String> {
    Uri::try_from(path).map_err(|error| error.to_string())
}

fn expect(head: &Parts, status: u16) -> Result<(), String> {
    if head.status == status { Ok(()) } else { Err(head.status.as_u16().to_string()) }
}
