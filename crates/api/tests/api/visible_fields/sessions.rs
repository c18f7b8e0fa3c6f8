//! Sessions of every person, and a login link.

use dabba_testkit::PASSWORD;
use serde_json::{Value, json};

use super::{
    catalogue::registration,
    recorder::Caller::{self, Admin},
    scene::{Scene, id},
};

const LOG_IN: &str = "POST /v1/session";
const LIST: &str = "GET /v1/accounts/{account_id}/sessions";
const LIST_OF_ONE: &str = "GET /v1/accounts/{account_id}/sessions?limit=1";

impl Scene {
    /// Logs each person in twice, reads one of the sessions and ends the other, and lists the sessions of each person as each
    /// caller. A visitor logs in with a new account.
    pub(super) async fn use_sessions(&mut self) {
        let mut accounts = Vec::new();
        for caller in Caller::ALL {
            let email = if let Some(person) = caller.person(&self.server) {
                accounts.push(person.id.to_string());
                person.email.clone()
            } else {
                let new = registration("session");
                self.done(caller, super::catalogue::REGISTER, &[], new.clone()).await;
                new["email"].as_str().unwrap().to_owned()
            };
            let credentials = json!({"email": email, "password": PASSWORD});
            let used = self.send(caller, LOG_IN, &[], &credentials).await;
            let cookie = used.header("set-cookie").split(';').next().unwrap().to_owned();
            used.expect(200);
            let read = self.recorder.read_session(&self.server, caller, &cookie).await;
            assert_eq!(read.status, 200, "{}", read.text);
            let ended = self.done(caller, LOG_IN, &[], credentials).await;
            if caller.person(&self.server).is_some() {
                let account = accounts.last().unwrap().clone();
                let end = "DELETE /v1/accounts/{account_id}/sessions/{session_id}";
                self.done(caller, end, &[&account, id(&ended)], Value::Null).await;
            }
        }
        for caller in Caller::ALL {
            for account in &accounts {
                for list in [LIST, LIST_OF_ONE] {
                    self.send(caller, list, &[account], &Value::Null).await;
                }
                if caller != Admin {
                    let create = "POST /v1/accounts/{account_id}/login-links";
                    self.send(caller, create, &[account], &Value::Null).await;
                }
            }
        }
        let create = "POST /v1/accounts/{account_id}/login-links";
        self.done(Admin, create, &[&accounts[0]], Value::Null).await;
    }
}
