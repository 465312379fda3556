//! Credentials and limits: who shows nothing, something wrong, half of it or far too much, gets nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use orrery_collector::{Daemon, OpenSource, Settings, SourceKind};
use tempfile::TempDir;

use crate::http::{Gated, PATIENCE, answer, get, get_with, metrics_until, settings};
use crate::process::{Server, command, run};

pub(crate) const TOKEN: &str = "5f2b8c0d9e1a4376b8c0d9e1a43765f2";

/// A folder with a file `token` of `mode`.
pub(crate) fn token_file(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
    (folder, path)
}

fn with_token(listen: &str) -> (TempDir, Settings) {
    let (folder, path) = token_file(&format!("{TOKEN}\n"), 0o600);
    let mut settings = Settings {
        listen: listen.parse().expect("an address"),
        ..settings(vec![SourceKind::Demo])
    };
    settings.serving.token_file = Some(path);
    (folder, settings)
}

fn code(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn without_the_token_nothing_but_health_answers() {
    for listen in ["0.0.0.0:0", "127.0.0.1:0"] {
        let (_folder, settings) = with_token(listen);
        let daemon = Daemon::start(&settings).unwrap();
        let address: SocketAddr = ([127, 0, 0, 1], daemon.address().port()).into();
        let pages = [
            "/metrics",
            "/metrics/dcgm",
            "/stream",
            "/-/ready",
            "/",
            "/nowhere",
            "/healthz/x",
            "/v1/history",
            "/v1/series",
        ];
        let oversized = format!("Bearer {}", "f".repeat(3000));
        let far_oversized = format!("Bearer {}", "f".repeat(100_000));
        let truncated = format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]);
        let twice = format!("Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}");
        for page in pages {
            let (head, body) = get(address, page);
            assert_eq!(code(&head), "401", "{page}: {head}");
            assert!(head.contains("www-authenticate: Bearer realm="), "{head}");
            assert!(
                body.contains("Authorization: Bearer"),
                "it says what to send: {body}"
            );
            for wrong in [
                "Bearer 0123456789abcdef0123456789abcdef",
                "Bearer",
                "Basic dXNlcjpwYXNz",
                &truncated,
                &oversized,
                &twice,
            ] {
                let (head, _) = get_with(address, page, &format!("Authorization: {wrong}\r\n"));
                assert_eq!(code(&head), "401", "{page} with {wrong:.40}: {head}");
            }
            let request = format!("GET {page} HTTP/1.0\r\nAuthorization: {far_oversized}\r\n\r\n");
            let found = raw(address, request.as_bytes());
            // The daemon hangs up before it has read it all, and the answer may be lost in that.
            assert!(["431", ""].contains(&code(&found)), "{page}: {found:.200}");
        }
        let (head, body) = get(address, "/healthz");
        assert_eq!((code(&head), body.as_str()), ("200", r#"{"status":"ok"}"#));
        let right = format!("Authorization: Bearer {TOKEN}\r\n");
        for page in ["/metrics", "/metrics/dcgm", "/"] {
            assert_eq!(code(&get_with(address, page, &right).0), "200", "{page}");
        }
        assert_eq!(code(&get_with(address, "/nowhere", &right).0), "404");
        assert!(get_with(address, "/healthz", &right).1.contains("\"sources\""));
    }
}

#[test]
fn a_token_that_cannot_be_used_ends_with_2_and_names_the_fix() {
    let (_one, shared) = token_file(TOKEN, 0o640);
    let (_two, short) = token_file("secret", 0o600);
    let shared = shared.to_str().unwrap();
    let short = short.to_str().unwrap();
    for (path, fix) in [
        (shared, "chmod 600"),
        (short, "openssl rand -hex 32"),
        ("/nonexistent/token", "openssl rand -hex 32"),
    ] {
        let (code, _, words) = run(&["serve", "--listen", "0.0.0.0:0", "--token-file", path]);
        assert_eq!((code, words.contains(fix)), (Some(2), true), "{path}: {words}");
    }
}

#[test]
fn a_token_that_is_sent_in_clear_is_warned_of() {
    let (_folder, path) = token_file(TOKEN, 0o600);
    let mut serve = command(&[
        "serve",
        "--source",
        "demo",
        "--listen",
        "0.0.0.0:0",
        "--token-file",
    ]);
    serve.arg(path);
    let server = Server::start(serve);
    let warning = &server.preface;
    assert!(
        warning.contains("WARN") && warning.contains("add `--tls`"),
        "{warning}"
    );
    assert!(!warning.contains(TOKEN), "a secret is not logged");
}

#[test]
fn a_token_that_was_changed_is_asked_for_without_a_restart() {
    let (folder, settings) = with_token("127.0.0.1:0");
    let daemon = Daemon::start(&settings).unwrap();
    let code_with = |token: &str| {
        let shown = format!("Authorization: Bearer {token}\r\n");
        let (head, _) = get_with(daemon.address(), "/metrics", &shown);
        code(&head).to_owned()
    };
    let new = TOKEN.to_uppercase();
    assert_eq!([TOKEN, &new].map(code_with), ["200", "401"]);
    std::fs::write(folder.path().join("token"), &new).unwrap();
    let start = Instant::now();
    while code_with(&new) != "200" {
        assert!(start.elapsed() < PATIENCE, "the new token is not taken up");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(code_with(TOKEN), "401");
}

#[test]
fn readiness_waits_for_the_first_cycle() {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (mut inner, _gate) = Gated::with_gate();
    let open: OpenSource = Box::new(move || {
        let _let_go = held.recv();
        inner()
    });
    let daemon = Daemon::start_with(&settings(Vec::new()), vec![("slow", open)]).unwrap();
    let (head, body) = get(daemon.address(), "/-/ready");
    assert_eq!(code(&head), "503", "{head}");
    assert!(body.contains("first cycle"), "{body}");
    assert_eq!(code(&get(daemon.address(), "/healthz").0), "200");
    drop(let_go);
    metrics_until(daemon.address(), "a reading", |text| {
        text.contains("orrery_gpu_power")
    });
    assert_eq!(code(&get(daemon.address(), "/-/ready").0), "200");
    // A source that says why it is absent has had its cycle.
    let absent = Daemon::start(&settings(vec![SourceKind::Nvml])).unwrap();
    metrics_until(absent.address(), "a reason", |text| {
        text.contains("no NVIDIA driver library")
    });
    assert_eq!(code(&get(absent.address(), "/-/ready").0), "200");
}

/// What is answered to `request` as it stands, up to the end of the connection.
pub(crate) fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the daemon listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time above zero");
    // The daemon may have answered and gone before it has read everything.
    let _sent = stream.write_all(request);
    let mut text = Vec::new();
    let _ended = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn requests_are_bounded_in_head_body_and_method() {
    let daemon = Daemon::start(&settings(vec![SourceKind::Demo])).unwrap();
    let address = daemon.address();
    let head = "Host: localhost\r\nConnection: close\r\n";
    for (request, wanted) in [
        (
            format!("GET /healthz HTTP/1.1\r\n{head}X: {}\r\n\r\n", "x".repeat(9000)),
            "431",
        ),
        (format!("GET /{} HTTP/1.1\r\n{head}\r\n", "x".repeat(9000)), "414"),
        (
            format!("GET /healthz HTTP/1.1\r\n{head}{}\r\n", "X: y\r\n".repeat(100)),
            "431",
        ),
        (
            format!("GET /healthz HTTP/1.1\r\n{head}Content-Length: 9000\r\n\r\n"),
            "413",
        ),
        (
            format!("POST /metrics HTTP/1.1\r\n{head}Content-Length: 1\r\n\r\nx"),
            "405",
        ),
        (format!("DELETE /healthz HTTP/1.1\r\n{head}\r\n"), "405"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET /healthz HTTP/1.1\r\n{head}\r\n"), "200"),
    ] {
        let found = raw(address, request.as_bytes());
        let accepted = if wanted == "414" {
            &["414", "431"][..]
        } else {
            &[wanted][..]
        };
        assert!(accepted.contains(&code(&found)), "{request:.60}: {found:.200}");
    }
}

#[test]
fn who_asks_too_often_is_told_to_wait() {
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.serving.limits.requests_per_second = 2;
    let daemon = Daemon::start(&settings).unwrap();
    let mut heads: Vec<String> = (0..30).map(|_| get(daemon.address(), "/healthz").0).collect();
    let refused = heads.iter().filter(|head| code(head) == "429").count();
    assert!((10..30).contains(&refused), "{refused} of 30");
    heads.retain(|head| code(head) == "429");
    assert!(heads[0].contains("retry-after: 1"), "{}", heads[0]);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(code(&get(daemon.address(), "/healthz").0), "200");
}

#[test]
fn who_says_nothing_gives_up_his_place_to_who_asks() {
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.serving.limits.connections = 4;
    settings.serving.limits.connections_per_client = 4;
    let daemon = Daemon::start(&settings).unwrap();
    let mut silent: Vec<TcpStream> = (0..12)
        .map(|_| TcpStream::connect(daemon.address()).unwrap())
        .collect();
    for stream in &mut silent {
        // Some were let go already.
        let _sent = stream.write_all(b"GET /hea");
    }
    assert_eq!(code(&get(daemon.address(), "/healthz").0), "200");
    let first = &mut silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = first.read(&mut [0; 10]);
    assert!(matches!(end, Ok(0) | Err(_)), "the first was let go: {end:?}");
}

#[test]
fn who_sends_half_a_head_is_let_go_in_time() {
    let mut settings = settings(vec![SourceKind::Demo]);
    settings.serving.limits.patience = Duration::from_millis(300);
    let daemon = Daemon::start(&settings).unwrap();
    let start = std::time::Instant::now();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ")
        .unwrap();
    let mut text = String::new();
    let _ended = stream.read_to_string(&mut text);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    assert!(!text.contains(" 200 "), "{text}");
    // A connection that asks nothing more is let go as well.
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(code(&answer(stream).0), "200");
}
