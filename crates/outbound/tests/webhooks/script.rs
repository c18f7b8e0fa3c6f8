//! Scripted endpoints: the port `Egress` in memory, which records every request.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use dabba_engine::{
    Egress, EgressAttempt, EgressFailure, EgressFailureKind, EgressReply, EgressRequest, EgressUrlError,
    RetryAfter, TargetUrl,
};
use tokio::time::{Instant, sleep};

/// Number of an event: the order's id, and the version.
pub(crate) type EventKey = (String, u32);

/// A request as an endpoint received it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) url: String,
    /// Number of earlier requests to the endpoint.
    pub(crate) number: usize,
    pub(crate) headers: HashMap<&'static str, String>,
    pub(crate) body: String,
    pub(crate) events: Vec<EventKey>,
    pub(crate) at: Instant,
}

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16),
    RetryAfter(u64),
    Refused,
    Panic,
}

pub(crate) type Script = Box<dyn Fn(&Call) -> (Duration, Answer) + Send + Sync>;

/// Accepts everything at once.
pub(crate) fn healthy() -> Script {
    Box::new(|_| (Duration::from_millis(5), Answer::Status(200)))
}

/// Always does the same.
pub(crate) fn always(millis: u64, answer: Answer) -> Script {
    Box::new(move |_| (Duration::from_millis(millis), answer))
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, Arc<Script>>,
    calls: Vec<Call>,
    accepted: Vec<(String, EventKey, Instant)>,
    /// Orders with a request in flight, per endpoint.
    active: HashSet<(String, String)>,
    overlaps: Vec<(String, String)>,
    /// Maximum number of entries of `active` so far.
    most_active: usize,
}

/// The endpoints.
#[derive(Default)]
pub(crate) struct Endpoints(Mutex<State>);

/// Ends the activity of a request, also if the sender drops it.
struct Active<'a>(&'a Endpoints, Vec<(String, String)>);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap();
        for key in &self.1 {
            state.active.remove(key);
        }
    }
}

impl Endpoints {
    pub(crate) fn script(&self, url: &str, script: Script) {
        self.0.lock().unwrap().scripts.insert(url.to_owned(), Arc::new(script));
    }

    pub(crate) fn calls(&self, url: &str) -> Vec<Call> {
        self.0.lock().unwrap().calls.iter().filter(|call| call.url == url).cloned().collect()
    }

    /// Returns the number of requests to each URL.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for call in &self.0.lock().unwrap().calls {
            *counts.entry(call.url.clone()).or_default() += 1;
        }
        counts
    }

    /// Returns the events that an endpoint accepted, in the order of acceptance.
    pub(crate) fn accepted(&self, url: &str) -> Vec<EventKey> {
        self.accepted_at(url).into_iter().map(|(event, _)| event).collect()
    }

    pub(crate) fn accepted_at(&self, url: &str) -> Vec<(EventKey, Instant)> {
        let state = self.0.lock().unwrap();
        let own = state.accepted.iter().filter(|(of, _, _)| of == url);
        own.map(|(_, event, at)| (event.clone(), *at)).collect()
    }

    /// Returns the pairs of endpoint and order that had two requests in flight at once.
    pub(crate) fn overlaps(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().overlaps.clone()
    }

    /// Returns the maximum number of pairs of endpoint and order with a request in flight so far.
    pub(crate) fn most_active(&self) -> usize {
        self.0.lock().unwrap().most_active
    }

    fn begin(&self, request: &EgressRequest) -> (Call, Arc<Script>, Active<'_>) {
        let mut state = self.0.lock().unwrap();
        let url = request.url.as_str().to_owned();
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let events = events_of(&body);
        let number = state.calls.iter().filter(|call| call.url == url).count();
        let headers = request.headers.iter().cloned().collect();
        let call = Call { url: url.clone(), number, headers, body, events, at: Instant::now() };
        state.calls.push(call.clone());
        let orders: HashSet<String> = call.events.iter().map(|(order, _)| order.clone()).collect();
        let keys: Vec<_> = orders.into_iter().map(|order| (url.clone(), order)).collect();
        for key in &keys {
            if !state.active.insert(key.clone()) {
                state.overlaps.push(key.clone());
            }
        }
        state.most_active = state.most_active.max(state.active.len());
        let script = state.scripts.get(&url).cloned().unwrap_or_else(|| Arc::new(healthy()));
        drop(state);
        (call, script, Active(self, keys))
    }

    fn accept(&self, call: &Call) {
        let mut state = self.0.lock().unwrap();
        for event in &call.events {
            state.accepted.push((call.url.clone(), event.clone(), Instant::now()));
        }
    }
}

fn events_of(body: &str) -> Vec<EventKey> {
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    let events = json.as_array().cloned().unwrap_or_else(|| vec![json]);
    let key = |event: &serde_json::Value| {
        let version = event["data"]["version"].as_u64()?;
        Some((event["data"]["order_id"].as_str()?.to_owned(), u32::try_from(version).unwrap()))
    };
    events.iter().filter_map(key).collect()
}

#[async_trait]
impl Egress for Endpoints {
    fn check_url(&self, url: &str) -> Result<TargetUrl, EgressUrlError> {
        Ok(TargetUrl::from_checked(url.to_owned()))
    }

    async fn post(&self, request: EgressRequest) -> EgressAttempt {
        let started = Instant::now();
        let (call, script, active) = self.begin(&request);
        let (pause, answer) = script(&call);
        sleep(pause).await;
        drop(active);
        let reply = |status, retry_after| {
            Ok(EgressReply { status, retry_after, excerpt: String::new(), is_body_cut: false })
        };
        let outcome = match answer {
            Answer::Status(status) => {
                if (200..300).contains(&status) {
                    self.accept(&call);
                }
                reply(status, None)
            }
            Answer::RetryAfter(seconds) => reply(503, Some(RetryAfter::Delay(Duration::from_secs(seconds)))),
            Answer::Refused => Err(EgressFailure {
                kind: EgressFailureKind::Connect,
                status: None,
                text: "the connection was refused".into(),
            }),
            Answer::Panic => panic!("a planted panic"),
        };
        EgressAttempt { outcome, duration: started.elapsed() }
    }
}

/// Checks I10: the first acceptances of each order are exactly the expected versions, in ascending order.
pub(crate) fn check(accepted: &[EventKey], expected: &BTreeMap<String, Vec<u32>>) -> Result<(), String> {
    let mut first: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (order, version) in accepted {
        let versions = first.entry(order.clone()).or_default();
        if !versions.contains(version) {
            versions.push(*version);
        }
    }
    for (order, versions) in expected {
        let found = first.get(order).cloned().unwrap_or_default();
        if found != *versions {
            return Err(format!("order {order}: first deliveries {found:?}, expected {versions:?}"));
        }
    }
    match first.keys().find(|order| !expected.contains_key(*order)) {
        Some(order) => Err(format!("order {order} is not for the endpoint")),
        None => Ok(()),
    }
}
