//! The envelope, as another implementation of `CloudEvents` reads it.

use cloudevents::{AttributesReader, Data, event::SpecVersion};
use dabba_outbound::public::{Audience, public_event, type_of};

use crate::lives::scripted;

/// Proves that the official SDK parses every event as a `CloudEvent`, with the attributes that the page states.
#[test]
fn another_implementation_parses_every_event() {
    for stored in scripted() {
        for audience in Audience::ALL {
            let text = serde_json::to_string(&public_event(&stored, audience)).unwrap();
            let event: cloudevents::Event = serde_json::from_str(&text).unwrap();
            let (order, version) = (stored.order_id.to_string(), stored.version);
            assert_eq!(event.specversion(), SpecVersion::V10);
            assert_eq!(event.id(), format!("{order}-{version}"));
            assert_eq!(event.source(), &format!("/v1/orders/{order}"));
            assert_eq!(event.ty(), type_of(&stored.name));
            assert_eq!(event.subject(), Some(stored.restaurant_id.to_string().as_str()));
            assert_eq!(event.datacontenttype(), Some("application/json"));
            let time = event.time().unwrap();
            assert_eq!(i128::from(time.timestamp_nanos_opt().unwrap()), stored.at.as_nanosecond());
            assert_eq!(event.extension("sequence").unwrap().to_string(), format!("{version:010}"));
            assert_eq!(event.extension("partitionkey").unwrap().to_string(), order);
            let Some(Data::Json(data)) = event.data() else { panic!("{text}") };
            assert_eq!(data["order_id"], order);
            assert_eq!(data["version"], version);
        }
    }
}

/// Proves the exact form of the envelope, and the order of its members.
#[test]
fn the_envelope_has_exactly_these_members() {
    let stored = &scripted()[1];
    let text = serde_json::to_string(&public_event(stored, Audience::Partner)).unwrap();
    let (order, restaurant) = (stored.order_id, stored.restaurant_id);
    let deadline: serde_json::Value = serde_json::from_str(stored.data.as_deref().unwrap()).unwrap();
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{order}-2","source":"/v1/orders/{order}","type":"app.dabba.order.confirmed.v1","subject":"{restaurant}","time":"{time}","sequence":"0000000002","partitionkey":"{order}","datacontenttype":"application/json","data":{{"order_id":"{order}","restaurant_id":"{restaurant}","version":2,"actor":{{"role":"system"}},"acceptance_deadline":{deadline}}}}}"#,
        time = stored.at,
        deadline = deadline["acceptance_deadline"],
    );
    assert_eq!(text, expected);
}
