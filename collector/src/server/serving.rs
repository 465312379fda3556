//! How pages are served: to whom, under which certificate, within which limits.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::access::{Access, MAKE_TOKEN, TokenError, token_file};
use super::followed::{Followed, LOOK};
use super::limits::Limits;
use super::tls::{self, Identity, Tls, TlsError};
use crate::metrics::HostnameLabel;
use crate::threads::Stop;

/// How pages are served.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The file with the token that clients have to show.
    pub token_file: Option<PathBuf>,
    /// Who signs the certificates that clients may show instead; asks for [`Serving::tls`].
    pub client_ca: Option<PathBuf>,
    /// TLS, if there is to be any.
    pub tls: Option<Tls>,
    /// What clients may take.
    pub limits: Limits,
    /// How `/metrics/dcgm` spells the label with the node's name.
    pub dcgm_hostname: HostnameLabel,
}

/// Why pages cannot be served like that.
#[derive(Debug, Error)]
pub enum ServingError {
    /// The address is reachable from other machines, and nobody would be asked who they are.
    #[error(
        "`{0}` can be reached from other machines, and clients have nothing to show who they are\n\
         make a token, `{MAKE_TOKEN}`, and add `--token-file FILE`; or add `--tls --client-ca FILE` for clients \
         with certificates; or listen on 127.0.0.1; or add `--allow-remote`, and /healthz alone is answered"
    )]
    Remote(SocketAddr),
    /// Certificates of clients need TLS.
    #[error("clients show certificates over TLS only\nadd `--tls`, or `--tls-cert FILE --tls-key FILE`")]
    ClientCaWithoutTls,
    /// There is no folder for a certificate that is made.
    #[error(
        "a certificate that is made has to be kept\nname a folder with `--data-dir DIR`, or bring a certificate \
         with `--tls-cert FILE --tls-key FILE`"
    )]
    NoDataDir,
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Who may ask, and what is shown to them.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) access: Access,
    pub(crate) identity: Option<Followed<Identity>>,
}

impl Serving {
    fn has_credentials(&self) -> bool {
        self.token_file.is_some() || self.client_ca.is_some()
    }

    /// Whether the parts fit together on `listen`; reads no file.
    ///
    /// # Errors
    /// When the address is not loopback, there are no credentials and nobody allowed that, or when certificates
    /// of clients are asked for without TLS.
    pub fn check(&self, listen: SocketAddr, allow_remote: bool) -> Result<(), ServingError> {
        if !listen.ip().is_loopback() && !self.has_credentials() && !allow_remote {
            return Err(ServingError::Remote(listen));
        }
        if self.client_ca.is_some() && self.tls.is_none() {
            return Err(ServingError::ClientCaWithoutTls);
        }
        Ok(())
    }

    /// Reads the token and the certificates, and makes what is to be made, in `data_dir`.
    pub(crate) fn prepare(&self, listen: IpAddr, data_dir: Option<&Path>) -> Result<Prepared, ServingError> {
        let token = self.token_file.as_deref().map(token_file).transpose()?;
        // What counts is where the daemon listens, not where a request comes from: a relay on this machine would
        // make everybody local.
        let access = if listen.is_loopback() && !self.has_credentials() {
            Access::Everybody
        } else {
            Access::Shown {
                token,
                by_certificate: self.client_ca.is_some(),
            }
        };
        let identity = |tls: &Tls| {
            // A folder is needed for what is made only.
            let data_dir = match (tls, data_dir) {
                (_, Some(folder)) => folder,
                (Tls::Files { .. }, None) => Path::new(""),
                (Tls::Generated, None) => return Err(ServingError::NoDataDir),
            };
            Ok::<_, ServingError>(tls::identity(tls, self.client_ca.as_deref(), data_dir, listen)?)
        };
        let identity = self.tls.as_ref().map(identity).transpose()?;
        Ok(Prepared { access, identity })
    }
}

impl Prepared {
    /// Whether there are files that may change.
    pub(crate) const fn has_files(&self) -> bool {
        self.identity.is_some() || self.access.token().is_some()
    }

    /// Takes up the token and the certificates as their files change, until somebody wishes to stop.
    pub(crate) fn follow(&self, stop: &Stop) {
        while !stop.wait(LOOK) {
            if let Some(token) = self.access.token() {
                token.look();
            }
            if let Some(identity) = &self.identity {
                identity.look();
            }
        }
    }
}
