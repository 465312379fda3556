//! TLS: a generated certificate, the operator's own, and certificates of clients.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orrery_collector::{Daemon, Settings, SourceKind, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::access::{TOKEN, raw, token_file};
use crate::http::{PATIENCE, answer, settings};
use crate::process::{Server, command};

/// Who signs, in a folder of its own.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        let issuer = Issuer::new(parameters, key);
        Self { folder, issuer }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate of `name` with its key, as files.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;

        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let pair = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&pair, &self.issuer).expect("a signature");
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(file("pem"), certificate.pem()).expect("a file");
        std::fs::write(file("key"), pair.serialize_pem()).expect("a file");
        let secret = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file("key"), secret).expect("its mode");
        (file("pem"), file("key"))
    }
}

/// Asks for `path` over TLS, trusting `root`, with a certificate or without.
fn get(
    address: SocketAddr,
    path: &str,
    root: &Path,
    certificate: Option<&(PathBuf, PathBuf)>,
    headers: &str,
) -> Result<(String, String), String> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(root).expect("a certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("its own versions")
        .with_root_certificates(roots);
    let client = match certificate {
        None => client.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            client
                .with_client_auth_cert(vec![certificate], key)
                .expect("a pair")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(client), name).expect("a client");
    let stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    let mut stream = StreamOwned::new(session, stream);
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n")
        .map_err(|fault| fault.to_string())?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).map_err(|fault| fault.to_string())?;
    Ok(answer(text.as_bytes()))
}

fn settings_with(tls: Tls, folder: &Path) -> Settings {
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.data_dir = Some(folder.to_owned());
    settings.serving.tls = Some(tls);
    settings
}

#[test]
fn a_generated_certificate_is_kept_and_its_fingerprint_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut fingerprints = Vec::new();
    for _ in 0..2 {
        let mut serve = command(&[
            "serve",
            "--source",
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--tls",
            "--data-dir",
        ]);
        serve.arg(folder.path());
        let server = Server::start(serve);
        let (_, fingerprint) = server
            .preface
            .split_once("certificate SHA-256 ")
            .expect(&server.preface);
        fingerprints.push(fingerprint.trim().to_owned());
        let root = folder.path().join("tls/cert.pem");
        let (head, body) = get(server.address, "/healthz", &root, None, "").unwrap();
        assert!(
            head.contains(" 200 ") && body.contains("\"sources\""),
            "{head}\n{body}"
        );
        let other = Authority::new();
        let fault = get(server.address, "/healthz", &other.path(), None, "").unwrap_err();
        assert!(
            fault.contains("certificate"),
            "who trusts another does not connect: {fault}"
        );
    }
    assert_eq!(fingerprints[0], fingerprints[1], "it is made once");
    // As `openssl x509 -fingerprint -sha256` prints it.
    assert_eq!(fingerprints[0].len(), 95, "{fingerprints:?}");
}

#[test]
fn a_certificate_of_a_client_stands_for_the_token() {
    let ours = Authority::new();
    let theirs = Authority::new();
    let (certificate, key) = ours.sign("localhost");
    let (client, stranger) = (ours.sign("prometheus"), theirs.sign("stranger"));
    let (_folder, token) = token_file(TOKEN, 0o600);
    for token in [None, Some(token)] {
        let files = Tls::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        };
        let mut settings = settings_with(files, ours.folder.path());
        settings.serving.client_ca = Some(ours.path());
        settings.serving.token_file.clone_from(&token);
        let daemon = Daemon::start(&settings).unwrap();
        let root = ours.path();
        let ask = |path, certificate, headers| get(daemon.address(), path, &root, certificate, headers);
        let (head, text) = ask("/metrics", Some(&client), "").unwrap();
        assert!(head.contains(" 200 ") && text.contains("orrery_up 1\n"), "{head}");
        let (head, _) = ask("/metrics", None, "").unwrap();
        assert!(head.contains(" 401 "), "{head}");
        let (head, body) = ask("/healthz", None, "").unwrap();
        assert!(
            head.contains(" 200 ") && body == r#"{"status":"ok"}"#,
            "{head}\n{body}"
        );
        // The daemon hangs up, which the client may notice while it still writes.
        assert!(
            ask("/healthz", Some(&stranger), "").is_err(),
            "a stranger's certificate is worse than none"
        );
        let shown = format!("Authorization: Bearer {TOKEN}\r\n");
        let (head, _) = ask("/metrics", None, &shown).unwrap();
        let wanted = if token.is_some() { " 200 " } else { " 401 " };
        assert!(head.contains(wanted), "{head}");
    }
}

#[test]
fn a_daemon_with_tls_speaks_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&settings_with(Tls::Generated, folder.path())).unwrap();
    let plain = raw(daemon.address(), b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(
        !plain.contains("HTTP/") && !plain.contains("ok"),
        "there is no answer in clear: {plain}"
    );
    let root = folder.path().join("tls/cert.pem");
    assert!(get(daemon.address(), "/healthz", &root, None, "").is_ok());
}

#[test]
fn a_certificate_that_was_renewed_is_shown_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (certificate, key) = old.sign("localhost");
    let files = Tls::Files {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let daemon = Daemon::start(&settings_with(files, old.folder.path())).unwrap();
    let first = daemon.fingerprint().expect("a certificate");
    let is_vouched_by =
        |authority: &Authority| get(daemon.address(), "/healthz", &authority.path(), None, "").is_ok();
    assert!(is_vouched_by(&old) && !is_vouched_by(&new));
    let (renewed, its_key) = new.sign("localhost");
    // Between two files that change there is a time in which they do not fit.
    std::fs::copy(&renewed, &certificate).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert!(is_vouched_by(&old), "a certificate without its key is none");
    std::fs::copy(&its_key, &key).unwrap();
    let begin = Instant::now();
    while !is_vouched_by(&new) {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "the new one is never shown"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!is_vouched_by(&old), "the old one is shown no more");
    assert_ne!(daemon.fingerprint().expect("a certificate"), first);
}
