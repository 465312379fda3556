//! Asks other servers over HTTP: with a time limit, a limit on what is read, and what the server wants to see.

use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::TokenError;
use crate::server::read_secret;

/// The longest answer that is read, in bytes: the last samples of some thousand devices.
const LONGEST_ANSWER: u64 = 64 << 20;
/// How much of an answer that is a refusal is repeated, in characters.
const EXCERPT: usize = 200;

/// Asks servers.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    /// What the header `Authorization` says.
    authorization: Option<String>,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is none.
    #[error("the file of the token holds no text of one line\nwrite the token alone into it")]
    NoToken,
    /// The certificates cannot be read.
    #[error("`{path}` has no certificate: {fault}\nname a file of certificates in PEM with `--ca FILE`")]
    Certificates {
        /// The file.
        path: String,
        /// What is wrong.
        fault: String,
    },
}

impl Client {
    /// A client that waits `timeout` for an answer, shows the token in `token_file` and trusts the certificates in
    /// `ca`, or else those that Mozilla trusts.
    pub(crate) fn new(
        timeout: Duration,
        token_file: Option<&Path>,
        ca: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let authorization = token_file.map(authorization).transpose()?;
        let mut configuration = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A token is for whom it was given to.
            .max_redirects(0)
            .user_agent(concat!("orrery-collector/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca {
            let roots = root_certificates(path)?;
            configuration = configuration.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: configuration.build().into(),
            authorization,
        })
    }

    /// The body of the answer to a request for `url` with `parameters`.
    ///
    /// # Errors
    /// When there is none, or it is a refusal: in one line, why.
    pub(crate) fn get(&self, url: &str, parameters: &[(&str, String)]) -> Result<String, String> {
        let mut request = self.agent.get(url);
        for (name, value) in parameters {
            request = request.query(*name, value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let mut answer = request.call().map_err(|fault| phrase(&fault))?;
        let status = answer.status();
        let body = answer
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_string();
        let body = body.map_err(|fault| phrase(&fault))?;
        match status.as_u16() {
            200 => Ok(body),
            401 | 403 => Err(format!(
                "it wants to know who asks ({status}): show a token with `--token-file FILE`"
            )),
            404 if body.is_empty() => Err(format!("it has no such page ({status})")),
            // Prometheus says in the body what is wrong.
            400 | 422 => Ok(body),
            _ => {
                let excerpt: String = body
                    .chars()
                    .take(EXCERPT)
                    .map(|letter| if letter == '\n' { ' ' } else { letter })
                    .collect();
                Err(format!("it answers {status}: {}", excerpt.trim()))
            }
        }
    }
}

fn authorization(path: &Path) -> Result<String, ClientError> {
    let secret = read_secret(path)?;
    let token = secret.trim_ascii();
    let is_token = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    let token = std::str::from_utf8(token)
        .ok()
        .filter(|_| is_token)
        .ok_or(ClientError::NoToken)?;
    Ok(format!("Bearer {token}"))
}

fn root_certificates(path: &Path) -> Result<RootCerts, ClientError> {
    let fault = |fault: &dyn std::fmt::Display| ClientError::Certificates {
        path: path.display().to_string(),
        fault: fault.to_string(),
    };
    let text = std::fs::read(path).map_err(|why| fault(&why))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|why| fault(&why))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(fault(&"there is none in it"));
    }
    Ok(RootCerts::from(certificates))
}

/// Why there is no answer, in one line.
fn phrase(fault: &ureq::Error) -> String {
    match fault {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "no host of this name".to_owned(),
        ureq::Error::Io(fault) => match fault.kind() {
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            _ => fault.to_string(),
        },
        other => other.to_string().replace('\n', " "),
    }
}
