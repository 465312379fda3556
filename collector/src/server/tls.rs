//! TLS by rustls: own certificates, or one that is made once and kept, and certificates of clients.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::access::{TokenError, read_secret};
use super::followed::Followed;
use crate::source::node_name;

/// Which certificate the daemon shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// One that is made once and kept in the data folder.
    Generated,
    /// The operator's own, in PEM files.
    Files {
        /// The certificate and those that vouch for it.
        certificate: PathBuf,
        /// Its private key, which nobody but its owner may read.
        key: PathBuf,
    },
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file of certificates cannot be used.
    #[error("no certificate can be read: {fault}: `{}`\nname a PEM file that holds one", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The private key cannot be read.
    #[error("the private key cannot be used: {0}")]
    Secret(TokenError),
    /// Certificate and key do not make a server.
    #[error(
        "certificate and key cannot be used together: {0}\nname a certificate and its own key, both in PEM"
    )]
    Pair(String),
    /// The certificate cannot be made or kept.
    #[error(
        "no certificate can be made in `{}`: {fault}\nlet the collector write there, or bring a certificate with \
         `--tls-cert FILE --tls-key FILE`", .folder.display()
    )]
    Generate {
        /// The folder.
        folder: PathBuf,
        /// What went wrong.
        fault: String,
    },
}

/// What a server with TLS shows.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it.
    pub(crate) fingerprint: String,
    /// SHA-256 of all that was read for it.
    digest: [u8; 32],
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// How long a generated certificate holds. Clients trust it by its fingerprint or as a file, not by its dates.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a server shows that has `tls`, listens on `listen` and keeps what it makes in `data_dir`; clients may
/// show certificates that `client_ca` signed. As the files say it now.
pub(crate) fn identity(
    tls: &Tls,
    client_ca: Option<&Path>,
    data_dir: &Path,
    listen: IpAddr,
) -> Result<Followed<Identity>, TlsError> {
    let (certificate, key) = match tls {
        Tls::Generated => generated(data_dir, listen).map_err(|fault| TlsError::Generate {
            folder: data_dir.to_owned(),
            fault: fault.to_string(),
        })?,
        Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
    };
    let client_ca = client_ca.map(Path::to_owned);
    let name = format!("the certificate in `{}`", certificate.display());
    Followed::new(name, move || read(&certificate, &key, client_ca.as_deref()))
}

/// What a server shows that has this certificate and its key, to clients that `client_ca` vouches for, if any.
fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Identity, TlsError> {
    let chain = certificates(certificate)?;
    let fingerprint = fingerprint(&chain[0]);
    let secret = read_secret(key).map_err(TlsError::Secret)?;
    let mut digest = Sha256::new_with_prefix(&secret);
    chain.iter().for_each(|certificate| digest.update(certificate));
    let key = PrivateKeyDer::from_pem_slice(&secret).map_err(|fault| TlsError::Pair(fault.to_string()))?;
    let pair = |fault: rustls::Error| TlsError::Pair(fault.to_string());
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let unusable = |fault: String| TlsError::Certificate {
                path: path.to_owned(),
                fault,
            };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                digest.update(&certificate);
                roots
                    .add(certificate)
                    .map_err(|fault| unusable(fault.to_string()))?;
            }
            // A client without a certificate may connect: `/healthz` answers it, and a token may let it in.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|fault| unusable(fault.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity {
        config: Arc::new(config),
        fingerprint,
        digest: digest.finalize().into(),
    })
}

/// The certificates in a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |fault: String| TlsError::Certificate {
        path: path.to_owned(),
        fault,
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|fault| unusable(fault.to_string()))?;
    if found.is_empty() {
        return Err(unusable("it holds none".to_owned()));
    }
    Ok(found)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

/// The certificate and the key in `data_dir`, made if they are not there yet.
fn generated(data_dir: &Path, listen: IpAddr) -> Result<(PathBuf, PathBuf), Box<dyn std::error::Error>> {
    let folder = data_dir.join("tls");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    // The key is written first: where there is a certificate, there is its key.
    if !certificate.try_exists()? {
        fs::create_dir_all(&folder)?;
        let pair = KeyPair::generate()?;
        let node = node_name();
        let mut names = vec![
            node.clone(),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        if !listen.is_unspecified() && !listen.is_loopback() {
            names.push(listen.to_string());
        }
        let mut parameters = CertificateParams::new(names)?;
        let named = format!("orrery-collector on {node}");
        parameters.distinguished_name.push(DnType::CommonName, named);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now();
        parameters.not_before = now.into();
        parameters.not_after = (now + VALIDITY).into();
        let text = parameters.self_signed(&pair)?.pem();
        write(&key, &pair.serialize_pem(), 0o600)?;
        write(&certificate, &text, 0o644)?;
    }
    Ok((certificate, key))
}

/// Writes a file of `mode` whole: whoever reads it finds the old one or the new one.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    if let Err(fault) = fs::remove_file(&unfinished)
        && fault.kind() != io::ErrorKind::NotFound
    {
        return Err(fault);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LISTEN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let make = || {
            identity(&Tls::Generated, None, folder.path(), LISTEN)
                .unwrap()
                .now()
        };
        let first = make();
        assert_eq!(first.fingerprint.len(), 32 * 3 - 1, "{}", first.fingerprint);
        assert_eq!(make().fingerprint, first.fingerprint);
        let key = folder.path().join("tls/key.pem");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let fault = identity(&Tls::Generated, None, folder.path(), LISTEN).unwrap_err();
        assert!(fault.to_string().contains("chmod 600"), "{fault}");
    }

    #[test]
    fn what_is_no_certificate_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        identity(&Tls::Generated, None, folder.path(), LISTEN).unwrap();
        let made = folder.path().join("tls/cert.pem");
        let key = folder.path().join("tls/key.pem");
        let files = |certificate: &Path, key: &Path| Tls::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let fault =
            |tls: &Tls, ca: Option<&Path>| identity(tls, ca, folder.path(), LISTEN).unwrap_err().to_string();
        let none = folder.path().join("none.pem");
        assert!(fault(&files(&none, &key), None).contains("none.pem"));
        assert!(fault(&files(&made, &none), None).contains("none.pem"));
        // A key is no certificate, and no key fits another's certificate.
        assert!(fault(&files(&key, &key), None).contains("it holds none"));
        assert!(fault(&Tls::Generated, Some(&key)).contains("it holds none"));
        let other = tempfile::tempdir().unwrap();
        identity(&Tls::Generated, None, other.path(), LISTEN).unwrap();
        let other = other.path().join("tls/key.pem");
        assert!(fault(&files(&made, &other), None).contains("its own key"));
        let unwritable = identity(&Tls::Generated, None, Path::new("/proc/nowhere"), LISTEN).unwrap_err();
        assert!(unwritable.to_string().contains("--tls-cert FILE"), "{unwritable}");
    }
}
