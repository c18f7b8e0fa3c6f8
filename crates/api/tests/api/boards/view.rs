//! A client of a board.

use std::collections::BTreeMap;

use dabba_testkit::{EventMessage, EventStream, PATIENCE};
use serde_json::{Value, json};

use super::BUILD;

/// What a client of a board knows. It keeps the rules of the protocol, and nothing else.
#[derive(Debug, Default)]
pub(super) struct View {
    restaurant: Value,
    items: BTreeMap<String, Value>,
    pub(super) orders: BTreeMap<String, Value>,
    pub(super) parts: u64,
    pub(super) heartbeats: usize,
}

impl View {
    pub(super) fn apply(&mut self, message: EventMessage) {
        let EventMessage { id, event, data } = message;
        assert_eq!(id, "", "messages have no id");
        match &*event {
            "snapshot" => self.begin(data),
            "order" => {
                let (id, version) = (text(&data, "id"), data["version"].as_u64());
                let before = self.orders.insert(id, data);
                let before = before.and_then(|order| order["version"].as_u64());
                assert!(before < version, "a change of an order has a later version: {before:?} {version:?}");
            }
            "gone" => {
                let order = self.orders.remove(&text(&data, "id")).unwrap();
                assert!(order["version"].as_u64() < data["version"].as_u64(), "{data}");
                assert!(!is_on_board(&data), "{data}");
            }
            "restaurant" => self.restaurant = data,
            "item" => self.take_item(data),
            "heartbeat" => {
                self.heartbeats += 1;
                assert_eq!(data["build"], BUILD);
                assert_eq!([&data["open"], &data["versions"], &data["ids"]], self.sums().each_ref());
            }
            _ => panic!("unexpected {event}: {data}"),
        }
    }

    fn begin(&mut self, mut data: Value) {
        self.parts += 1;
        assert_eq!(data["part"], self.parts);
        assert!(data["orders"].as_array().unwrap().len() <= 100);
        let is_first = self.parts == 1;
        assert_eq!((data["restaurant"].is_object(), data["items"].is_array()), (is_first, is_first));
        if is_first {
            self.restaurant = data["restaurant"].take();
            for item in data["items"].take().as_array().unwrap() {
                self.take_item(item.clone());
            }
        }
        for order in data["orders"].as_array().unwrap() {
            let last = self.orders.insert(text(order, "id"), order.clone());
            assert_eq!(last, None, "each order is in one part");
            assert_eq!(self.orders.keys().last(), Some(&text(order, "id")), "the oldest order is first");
        }
    }

    fn take_item(&mut self, item: Value) {
        if item["available"] == true && item["remaining"].is_null() {
            self.items.remove(&text(&item, "item"));
        } else {
            self.items.insert(text(&item, "item"), item);
        }
    }

    /// Returns the sums as a heartbeat states them.
    fn sums(&self) -> [Value; 3] {
        let versions: u64 = self.orders.values().map(|order| order["version"].as_u64().unwrap()).sum();
        let bits = |id: &String| u32::from_str_radix(&id[28..], 16).unwrap();
        let ids = self.orders.keys().map(bits).fold(0, |sum, bits| sum ^ bits);
        [json!(self.orders.len()), json!(versions), json!(ids)]
    }

    /// Returns the difference to a board that was read; `None` if there is none.
    pub(super) fn difference(&self, board: &Value) -> Option<String> {
        let orders: Vec<_> = self.orders.values().cloned().collect();
        let items: Vec<_> = self.items.values().cloned().collect();
        let own = json!({"restaurant": self.restaurant, "items": items, "orders": orders});
        let other =
            json!({"restaurant": board["restaurant"], "items": board["items"], "orders": board["orders"]});
        (own != other).then(|| format!("{own}\n{other}"))
    }

    /// Applies messages until the view has no difference to the board.
    pub(super) async fn reach(&mut self, stream: &mut EventStream, board: &Value) {
        let reach = async {
            while self.difference(board).is_some() {
                self.apply(stream.next().await.unwrap());
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reach).await;
        assert!(reached.is_ok(), "{}", self.difference(board).unwrap_or_default());
    }
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

pub(super) fn is_on_board(order: &Value) -> bool {
    ["confirmed", "preparing", "ready_for_pickup", "out_for_delivery"].iter().any(|on| order["status"] == *on)
}
