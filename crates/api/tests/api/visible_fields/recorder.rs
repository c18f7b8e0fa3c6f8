//! Requests by every kind of caller, and their recorded responses.

use dabba_testkit::{HttpResponse, TestAccount, TestServer};
use reqwest::Method;
use serde_json::Value;

/// Query of the preview of a command.
pub(super) const PREVIEW: &str = "?preview=true";

/// Prefix of every idempotency key that the recorder sends.
pub(super) const KEY_PREFIX: &str = "visible-fields-key-";

/// A kind of caller, in relation to the orders under test and to their restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// A visitor without a token.
    Visitor,
    /// The customer who placed the orders.
    Customer,
    /// Another customer.
    OtherCustomer,
    /// Staff of the orders' restaurant.
    Staff,
    /// Staff of another restaurant.
    OtherStaff,
    /// The courier who carries the orders.
    Courier,
    /// Another courier.
    OtherCourier,
    /// An admin.
    Admin,
}

use Caller::{Admin, Courier, Customer, OtherCourier, OtherCustomer, OtherStaff, Staff, Visitor};

impl Caller {
    /// All callers, in the order of the table's columns.
    pub(super) const ALL: [Self; 8] =
        [Visitor, Customer, OtherCustomer, Staff, OtherStaff, Courier, OtherCourier, Admin];

    /// Returns the caller's letter in the table.
    pub(super) const fn letter(self) -> char {
        match self {
            Visitor => 'V',
            Customer => 'C',
            OtherCustomer => 'c',
            Staff => 'S',
            OtherStaff => 's',
            Courier => 'K',
            OtherCourier => 'k',
            Admin => 'A',
        }
    }

    /// Returns the caller's account; a visitor has none.
    pub(super) const fn person(self, server: &TestServer) -> Option<&TestAccount> {
        match self {
            Visitor => None,
            Customer => Some(&server.customer),
            OtherCustomer => Some(&server.other_customer),
            Staff => Some(&server.staff),
            OtherStaff => Some(&server.other_staff),
            Courier => Some(&server.courier),
            OtherCourier => Some(&server.other_courier),
            Admin => Some(&server.admin),
        }
    }
}

/// A recorded response.
pub(super) struct Response {
    pub(super) caller: Caller,
    /// Method and path template, as in the API description; for a preview with its query.
    pub(super) operation: &'static str,
    pub(super) answer: HttpResponse,
}

/// All responses so far.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) responses: Vec<Response>,
}

impl Recorder {
    /// Sends a request and records the response.
    ///
    /// `request` is a method and a path template, with an optional query. `values` are the values of the template's
    /// variables, in sequence. No body is sent for `null`.
    pub(super) async fn send(
        &mut self,
        server: &TestServer,
        caller: Caller,
        request: &'static str,
        values: &[&str],
        body: &Value,
    ) -> HttpResponse {
        self.send_if("*", server, caller, request, values, body).await
    }

    /// Reads the session of a cookie and records the response.
    pub(super) async fn read_session(
        &mut self,
        server: &TestServer,
        caller: Caller,
        cookie: &str,
    ) -> HttpResponse {
        let answer = server.request(Method::GET, "/v1/session").session(cookie).send().await;
        self.responses.push(Response { caller, operation: "GET /v1/session", answer: answer.clone() });
        answer
    }

    /// Sends a request with this `If-Match` and records the response.
    pub(super) async fn send_if(
        &mut self,
        condition: &str,
        server: &TestServer,
        caller: Caller,
        request: &'static str,
        values: &[&str],
        body: &Value,
    ) -> HttpResponse {
        // A preview has a body of its own.
        let is_preview = request.ends_with(PREVIEW);
        let operation = if is_preview { request } else { request.split('?').next().unwrap() };
        let (method, template) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let is_write = method != Method::GET;
        let mut sent = server.request(method, &fill(template, values)).header("user-agent", "Browser");
        if is_write {
            let key = format!("{KEY_PREFIX}{}", self.responses.len());
            sent = sent.header("if-match", condition).key(key);
        }
        if let Some(person) = caller.person(server) {
            sent = sent.by(person);
        }
        if !body.is_null() {
            sent = sent.json(body);
        }
        let answer = sent.send().await;
        self.responses.push(Response { caller, operation, answer: answer.clone() });
        answer
    }
}

/// Replaces the variables of a path template.
fn fill(template: &str, values: &[&str]) -> String {
    let mut path = String::new();
    let mut values = values.iter();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        path.push_str(values.next().unwrap_or_else(|| panic!("a value for each variable of {template}")));
        rest = after.split_once('}').unwrap().1;
    }
    assert_eq!(values.next(), None, "{template} has fewer variables");
    path + rest
}
