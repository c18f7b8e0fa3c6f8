//! The demo server and the accounts of the demo, as `serve --demo` writes them into `demo.env`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use dabba_sim::{Authorities, Client, ClientError};
use serde_json::Value;

use crate::{commands::remote::client_of, demo_data, failure::Failure, output};

/// Name of the file in the data directory.
const FILE: &str = "demo.env";

/// The demo server, and the tokens of the demo's accounts.
pub(super) struct Stage {
    path: PathBuf,
    pub(super) address: String,
    pub(super) restaurant_id: String,
    pub(super) kitchen: String,
    pub(super) courier: String,
    pub(super) admin: String,
}

/// Tokens are secrets.
impl std::fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stage").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Stage {
    /// Reads the file in the data directory of the server.
    pub(super) fn read(data: &Path) -> Result<Self, Failure> {
        let path = absolute(&data.join(FILE));
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => no_server(&path, "the file does not exist"),
            _ => no_server(&path, &error.to_string()),
        })?;
        let variables = variables(&text);
        let value = |name: &str| {
            let found = variables.get(name).cloned();
            found.ok_or_else(|| no_server(&path, &format!("the file does not contain {name}")))
        };
        Ok(Self {
            address: value("ADDRESS")?,
            restaurant_id: value("RESTAURANT")?,
            kitchen: value("RESTAURANT_TOKEN")?,
            courier: value("COURIER_TOKEN")?,
            admin: value("ADMIN_TOKEN")?,
            path,
        })
    }

    /// Reads the file again: a restarted server may have another address.
    pub(super) fn again(&self) -> Result<Self, Failure> {
        Self::read(self.path.parent().unwrap_or(Path::new(".")))
    }

    /// Returns a client of the server without a token.
    pub(super) fn client(&self, authorities: &Authorities) -> Result<Client, Failure> {
        client_of(&self.address, authorities).map_err(Failure::during(self.path.display()))
    }

    /// Verifies that the server is the demo that wrote the file. The command registers accounts and places orders, so it
    /// must reach no other server.
    pub(super) async fn verify(&self, client: &Client) -> Result<(), Failure> {
        let Self { address, path, .. } = self;
        let no_demo =
            |why: &str| no_server(path, &format!("the server at {address} is not this demo: {why}"));
        let emails = [
            (&self.kitchen, demo_data::RESTAURANT_EMAIL),
            (&self.courier, demo_data::COURIER_EMAIL),
            (&self.admin, demo_data::ADMIN_EMAIL),
        ];
        for (token, email) in emails {
            let me = client.with_token(token).get("/v1/accounts/me").send().await;
            match me {
                Ok(me) if me.body["email"] == email => {}
                Ok(_) => return Err(no_demo("its accounts are others")),
                Err(ClientError::Problem(problem)) if problem.status == 401 => {
                    return Err(no_demo("it refuses the tokens of the file, or they have expired"));
                }
                Err(error) if error.is_about_certificate() => return Err(Failure::new(error.to_string())),
                Err(ClientError::Transport { reason, .. }) => {
                    return Err(no_server(path, &format!("no response from {address}: {reason}")));
                }
                Err(error) => return Err(no_demo(&error.to_string())),
            }
        }
        let restaurant = format!("/v1/restaurants/{}", self.restaurant_id);
        let found = client.with_token(&self.admin).get(&restaurant).send().await;
        let is_demo = |restaurant: &Value| {
            let external = restaurant["external_id"].as_str();
            external.is_some_and(|id| id.starts_with(demo_data::EXTERNAL_ID_PREFIX))
        };
        match found {
            Ok(found) if is_demo(&found.body) => Ok(()),
            Ok(_) => Err(no_demo("its restaurant does not belong to a demo")),
            Err(error) => Err(no_demo(&error.to_string())),
        }
    }
}

/// Returns the path from the root, so that a message states where the command has looked.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns the failure of a command that has not found the demo server of this file, with what to start.
fn no_server(path: &Path, why: &str) -> Failure {
    let data = output::shell_word(path.parent().unwrap_or(path));
    Failure::new(format!(
        "no demo server found by {}: {why}. Start `dabba serve --demo --data {data}` in another terminal, or name the data \
         directory of a running demo server with --data",
        path.display()
    ))
}

/// Returns the variables of lines such as `export NAME='value'`.
fn variables(text: &str) -> BTreeMap<String, String> {
    let variable = |line: &str| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((name.to_owned(), value.replace(r"'\''", "'")))
    };
    text.lines().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_a_shell_reads_them() {
        let read =
            variables("export ADDRESS='http://h:1'\n# a note\nexport BODY='it'\\''s'\nBROKEN\nexport X=1\n");
        let expected = [("ADDRESS", "http://h:1"), ("BODY", "it's")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn a_missing_file_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let failure = Stage::read(directory.path()).unwrap_err().to_string();
        let advice = format!("Start `dabba serve --demo --data {}` in", directory.path().display());
        for part in [file.to_str().unwrap(), "does not exist", &advice] {
            assert!(failure.contains(part), "{failure}");
        }
        fs::write(&file, "export ADDRESS='http://h:1'\n").unwrap();
        let failure = Stage::read(directory.path()).unwrap_err().to_string();
        assert!(failure.contains("RESTAURANT"), "{failure}");
    }
}
