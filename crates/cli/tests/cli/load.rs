//! The load generator on a real server.

use std::{collections::BTreeMap, time::Duration};

use dabba_sim::{PlaceLoad, place_orders};

use super::support::{Server, block_on};

#[test]
fn a_bounded_load_places_as_many_orders_as_it_reports() {
    const ORDERS: u64 = 250;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let load = PlaceLoad {
        rate: None,
        address: server.said("/address").trim_start_matches("http://").parse().unwrap(),
        restaurant_id: server.said("/restaurant_id"),
        token: server.said("/tokens/customer"),
        body: server.announcement["order"].to_string().into(),
        connections: 8,
        duration: Duration::from_mins(1),
        max_orders: ORDERS,
        run: "bounded".into(),
    };
    block_on(async {
        let report = place_orders(load.clone()).await.unwrap();
        assert_eq!((report.placed, &report.errors), (ORDERS, &BTreeMap::new()));
        assert!(report.latency_at(0.5) <= report.latency_at(1.0));

        let again = place_orders(load).await.unwrap();
        assert_eq!(again.placed, 0, "the same keys place nothing");
        assert_eq!(again.errors, BTreeMap::from([("replayed".to_owned(), ORDERS)]));

        let customer = server.client("customer");
        let (mut found, mut cursor) = (0, String::new());
        loop {
            let page = customer.get(&format!("/v1/orders?limit=100{cursor}")).send().await.unwrap().body;
            found += page["orders"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, 250);
    });
}
