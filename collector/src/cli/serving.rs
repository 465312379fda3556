//! Arguments of `serve` that say to whom pages are served, and how.

use std::path::PathBuf;

use clap::Args;

use crate::{HostnameLabel, Limits, Serving, Tls};

/// To whom pages are served, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(super) struct ServingArguments {
    /// Listen where other machines can reach it although clients have nothing to show: /healthz alone is answered.
    #[arg(long)]
    pub(super) allow_remote: bool,
    /// The file with the token that clients send as `Authorization: Bearer TOKEN`; mode 0600. Make one with
    /// `(umask 077; openssl rand -hex 32 > FILE)`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Clients may show a certificate that one of these (PEM) signed, instead of the token; needs TLS.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Speak TLS, with a certificate that is made once and kept in the data folder.
    #[arg(long)]
    tls: bool,
    /// Speak TLS with this certificate (PEM, with those that vouch for it).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of `--tls-cert` (PEM); mode 0600.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Requests that one address may make in a second; twice as many may come at once.
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().requests_per_second)]
    request_rate: u32,
    /// How /metrics/dcgm spells the label with the node's name: dcgm-exporter changed it in May 2026.
    #[arg(long, value_name = "LABEL", value_enum, default_value_t)]
    dcgm_hostname: HostnameLabel,
}

impl ServingArguments {
    pub(super) fn serving(self) -> Serving {
        let own = self.tls_cert.zip(self.tls_key);
        let own = own.map(|(certificate, key)| Tls::Files { certificate, key });
        Serving {
            token_file: self.token_file,
            client_ca: self.client_ca,
            tls: own.or(self.tls.then_some(Tls::Generated)),
            limits: Limits {
                requests_per_second: self.request_rate,
                ..Limits::default()
            },
            dcgm_hostname: self.dcgm_hostname,
        }
    }
}
