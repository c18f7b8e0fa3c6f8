//! The connection to the demo server, which survives restarts of the server.

use std::time::Duration;

use dabba_engine::{Random as _, SystemRandom};
use dabba_sim::{Authorities, Call, Client, ClientError, ClientResponse, ProblemResponse};
use dabba_store::Backoff;
use tokio::time::sleep;

use super::stage::Stage;
use crate::{failure::Failure, output};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between the attempts of a request while the server does not respond.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(5) };

/// The answer of the server: a response, or a refusal that a retry does not change.
pub(super) type Answer = Result<ClientResponse, Box<ProblemResponse>>;

/// The demo server.
pub(super) struct Connection {
    pub(super) stage: Stage,
    authorities: Authorities,
    client: Client,
}

impl Connection {
    pub(super) fn new(stage: Stage, authorities: Authorities) -> Result<Self, Failure> {
        Ok(Self { client: stage.client(&authorities)?, stage, authorities })
    }

    /// Verifies that the server is the demo.
    pub(super) async fn verify(&self) -> Result<(), Failure> {
        self.stage.verify(&self.client).await
    }

    /// Sends a request until the server responds, also across a restart of the server. The requests are reads or have an
    /// idempotency key, so a retry has no further effect; a second login only makes another token. Fails if the server is
    /// no longer the demo.
    pub(super) async fn insist(&mut self, make: impl Fn(&Client) -> Call) -> Result<Answer, Failure> {
        let mut failures = 0;
        loop {
            let error = match make(&self.client).timeout(TIMEOUT).send().await {
                Ok(response) => {
                    if failures > 0 {
                        output::note(format_args!("{} responds again", self.stage.address));
                    }
                    return Ok(Ok(response));
                }
                Err(ClientError::Problem(problem)) if problem.status == 401 => {
                    return Err(Failure::new(format!(
                        "{problem}; the server is no longer the demo of this evening, or the tokens have expired"
                    )));
                }
                Err(ClientError::Problem(problem)) if problem.status != 429 && problem.status < 500 => {
                    return Ok(Err(problem));
                }
                Err(error) => error,
            };
            if error.status().is_some_and(|status| status != 429 && status < 500) {
                return Err(Failure::new(error.to_string()));
            }
            failures += 1;
            if failures == 1 {
                output::note(format_args!("{error}; the command retries"));
            }
            sleep(PAUSES.pause(failures, SystemRandom.next_u64())).await;
            self.find_again()?;
        }
    }

    /// Finds a server that was restarted at another address.
    fn find_again(&mut self) -> Result<(), Failure> {
        // A starting server may be writing the file.
        if let Ok(stage) = self.stage.again()
            && stage.restaurant_id == self.stage.restaurant_id
        {
            if stage.address != self.stage.address {
                output::note(format_args!("the server is now at {}", stage.address));
                self.client = stage.client(&self.authorities)?;
            }
            self.stage = stage;
        }
        Ok(())
    }
}

/// Returns the response to a request that the demo cannot refuse.
pub(super) fn expected(answer: Answer, during: &str) -> Result<ClientResponse, Failure> {
    answer.map_err(|problem| Failure::during(during)(ClientError::Problem(problem)))
}
