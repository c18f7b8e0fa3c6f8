//! Taxes and fees over HTTP: from the settings to the quote, the order, the refund and the ledger.

use dabba_testkit::{TestAccount, TestServer, menu, settings};
use serde_json::{Value, json};

use crate::{start, walk_to};

/// Returns settings with an added and an included tax, and with fees for three receivers.
fn charging() -> Value {
    let mut document = settings("Curry Mile Kitchen");
    document["tax_rate_basis_points"] = json!(0);
    document["taxes"] = json!([
        {"id": "sales", "name": "Sales tax", "authority": "City", "rate": "8.875"},
        {"id": "vat", "name": "VAT", "authority": "HMRC", "rate": "20", "included": "net", "remitted_by": "platform"},
    ]);
    document["default_taxes"] = json!(["sales"]);
    document["fees"] = json!([
        {"id": "delivery", "kind": "delivery", "name": "Delivery", "taxes": ["vat"], "receiver": "courier"},
        {"id": "service", "kind": "service", "name": "Service", "rate": "2.5", "max": 100},
        {"id": "bottle", "kind": "other", "name": "Bottle levy", "amount": 15, "receiver": "authority"},
    ]);
    document
}

async fn replace(
    server: &TestServer,
    account: &TestAccount,
    rest: &str,
    document: &Value,
) -> dabba_testkit::HttpResponse {
    let request = server.put(&server.restaurant_path(rest), Some(account), document);
    request.header("if-match", "*").send().await
}

/// Returns the entries of a posting as account, tax and amount.
fn entries(posting: &Value) -> Vec<(String, String, i64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = posting["entries"].as_array().unwrap().iter();
    entries.map(|it| (text(&it["account"]), text(&it["tax"]), it["amount"].as_i64().unwrap())).collect()
}

/// Proves that an order states each tax and fee as its quote did, that a refund of a line returns the line's tax, and
/// that the ledger gives each tax and each receiver its own amount.
#[tokio::test]
async fn an_order_states_its_taxes_and_fees() {
    let server = start().await;
    replace(&server, &server.admin, "", &charging()).await.expect(200);
    let mut order = TestServer::order();
    order["tip"] = json!(150);
    let cart = json!({"lines": order["lines"], "fulfilment": "delivery", "tip": order["tip"]});
    let quoted = server.post(&server.restaurant_path("/quotes"), None, &cart).send().await.expect(200);
    let placed = server.place("1", &order).await;
    for member in ["amounts", "fees", "taxes"] {
        assert_eq!(placed[member], quoted[member], "{member}");
    }
    let subtotal = placed["amounts"]["subtotal"].as_i64().unwrap();
    let amount = |value: &Value| value.as_i64().unwrap();
    let sales = (subtotal * 8_875 + 50_000) / 100_000;
    let service = ((subtotal * 25 + 500) / 1_000).min(100);
    let [delivery, vat] = [250, 42];
    assert_eq!(amount(&placed["amounts"]["tax"]), sales);
    assert_eq!(amount(&placed["amounts"]["delivery_fee"]), delivery);
    assert_eq!(amount(&placed["amounts"]["other_fees"]), service + 15);
    let taxes = placed["taxes"].as_array().unwrap();
    let shown: Vec<_> =
        taxes.iter().map(|tax| (&tax["id"], amount(&tax["base"]), amount(&tax["amount"]))).collect();
    assert_eq!(shown, [(&json!("sales"), subtotal, sales), (&json!("vat"), delivery, vat)]);

    walk_to(&server, &placed, "deliver").await;
    let lines = json!([{"line": 0, "quantity": 1}]);
    let refund = json!({"reason": "missing_item", "lines": lines, "borne_by": "restaurant"});
    let refunded = server.command(&placed, "refund", &server.admin, &refund).send().await.expect(200);
    let refund = &refunded["payment"]["refunds"][0];
    let line = &placed["lines"][0];
    let returned = amount(&refund["taxes"][0]["amount"]);
    assert_eq!((&refund["taxes"][0]["tax"], returned > 0), (&json!("sales"), true), "{refund}");
    assert_eq!(amount(&refund["amount"]), amount(&line["unit_price"]) + returned);

    let path = format!("/v1/orders/{}/receipt", placed["id"].as_str().unwrap());
    let receipt = server.get(&path, Some(&server.customer)).await.expect(200);
    for member in ["amounts", "taxes"] {
        assert_eq!(receipt[member], placed[member], "{member}");
    }
    let shares = |of: &Value| -> i64 {
        let parts = of.as_array().unwrap().iter().flat_map(|it| it["parts"].as_array().into_iter().flatten());
        parts.flat_map(|part| part["taxes"].as_array().unwrap()).map(|share| amount(&share["amount"])).sum()
    };
    assert_eq!((shares(&receipt["lines"]), shares(&receipt["fees"])), (sales, vat));
    assert_eq!(
        receipt["payment"]["refunds"],
        json!([{
            "number": 1, "amount": refund["amount"], "taxes": refund["taxes"],
        }])
    );

    let path = format!("/v1/orders/{}/ledger", placed["id"].as_str().unwrap());
    let ledger = server.get(&path, Some(&server.admin)).await.expect(200);
    let total = amount(&placed["amounts"]["total"]);
    let tip = amount(&placed["amounts"]["tip"]);
    let entry = |account: &str, tax: &str, amount: i64| (account.to_owned(), tax.to_owned(), amount);
    let sale = [
        entry("customer", "", -total),
        entry("restaurant", "", subtotal),
        entry("platform", "", service),
        entry("courier", "", delivery - vat + tip),
        entry("authority", "", 15),
        entry("tax", "sales", sales),
        entry("tax", "vat", vat),
    ];
    assert_eq!(entries(&ledger["postings"][0]), sale);
    let back = [
        entry("refunds", "", amount(&refund["amount"])),
        entry("tax", "sales", -returned),
        entry("restaurant", "", -amount(&line["unit_price"])),
    ];
    assert_eq!(entries(&ledger["postings"][1]), back);
}

/// Proves that a menu and settings which do not fit each other are refused with the place of every wrong tax, and change
/// nothing.
#[tokio::test]
async fn menu_and_settings_fit_each_other() {
    let server = start().await;
    replace(&server, &server.admin, "", &charging()).await.expect(200);
    let mut own = menu();
    own["categories"][0]["items"][0]["taxes"] = json!(["vat"]);
    replace(&server, &server.staff, "/menu", &own).await.expect(200);
    let mut unknown = own.clone();
    unknown["categories"][0]["items"][0]["taxes"] = json!(["vat", "gone"]);
    unknown["categories"][0]["items"][1]["taxes"] = json!(["none"]);
    let refused = replace(&server, &server.staff, "/menu", &unknown).await.problem(422, "invalid");
    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/categories/0/items/0/taxes/1", "/categories/0/items/1/taxes/0"]);

    let mut without = charging();
    without["taxes"].as_array_mut().unwrap().pop();
    without["fees"] = json!([]);
    let refused = replace(&server, &server.admin, "", &without).await.problem(422, "invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/taxes");
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("vat") && detail.contains("/categories/0/items/0"), "{detail}");
    let read = server.get(&server.restaurant_path(""), None).await.expect(200);
    assert_eq!(read["taxes"].as_array().unwrap().len(), 2);
    let create = json!({"name": "Other", "currency": "GBP", "time_zone": "Europe/London", "categories": own["categories"]});
    let refused = server.post("/v1/restaurants", Some(&server.admin), &create).send().await;
    assert!((400..500).contains(&refused.status), "{}", refused.text);
}

/// Proves that staff cannot leave out a tax that the platform remits, and that they may keep what an admin decided.
#[tokio::test]
async fn only_an_admin_leaves_out_a_tax_that_the_platform_remits() {
    let server = start().await;
    let mut charging = charging();
    charging["default_taxes"] = json!(["sales", "vat"]);
    replace(&server, &server.admin, "", &charging).await.expect(200);
    let mut own = menu();
    own["categories"][0]["items"][0]["taxes"] = json!(["vat"]);
    replace(&server, &server.staff, "/menu", &own).await.expect(200);
    own["categories"][0]["items"][0]["taxes"] = json!([]);
    own["categories"][0]["items"][0]["option_groups"][0]["options"][1]["taxes"] = json!(["sales"]);
    let refused = replace(&server, &server.staff, "/menu", &own).await.problem(403, "forbidden");
    let detail = refused["detail"].as_str().unwrap();
    for place in ["/categories/0/items/0/taxes", "/categories/0/items/0/option_groups/0/options/1/taxes"] {
        assert!(detail.contains(place), "{place}: {detail}");
    }
    replace(&server, &server.admin, "/menu", &own).await.expect(200);
    own["categories"][0]["items"][1]["price_minor"] = json!(700);
    replace(&server, &server.staff, "/menu", &own).await.expect(200);
}

/// Proves that only an admin changes taxes and fees, and that staff may send the current ones back.
#[tokio::test]
async fn only_an_admin_changes_taxes_and_fees() {
    let server = start().await;
    replace(&server, &server.admin, "", &charging()).await.expect(200);
    replace(&server, &server.staff, "", &charging()).await.expect(200);
    for (member, value) in [
        ("taxes", json!([{"id": "sales", "name": "Sales tax", "authority": "City", "rate": "1"}])),
        ("default_taxes", json!([])),
        ("tax_rounding", json!("down")),
        ("fees", json!([])),
    ] {
        let mut changed = charging();
        changed[member] = value;
        if member == "taxes" {
            changed["fees"] = json!([]);
        }
        let refused = replace(&server, &server.staff, "", &changed).await.problem(403, "forbidden");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("/{member}:")), "{member}: {detail}");
    }
}
