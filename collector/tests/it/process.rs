//! The collector as a process, with or without a driver that plays a script.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::PATIENCE;

/// The command with `arguments`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery-collector"));
    command.args(arguments).env_remove("ORRERY_FAKE_NVML_SCRIPT");
    command
}

/// What a command that ends by itself left.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    ended(&command(arguments).output().expect("it runs"))
}

/// Exit code, standard output, standard error.
pub(crate) fn ended(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A process that is ended with the test that holds it: one that is left behind keeps what it inherited.
pub(crate) struct Held(Option<Child>);

impl Held {
    /// Starts `command`, whose words are kept.
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(Some(piped.spawn().expect("it starts")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("nobody has waited for it")
    }

    pub(crate) fn kill(&mut self) {
        self.child().kill().expect("it is our child");
    }

    /// What it says on standard error, for whoever reads it instead of [`wait`](Self::wait).
    pub(crate) fn words(&mut self) -> ChildStderr {
        self.child().stderr.take().expect("it is piped")
    }

    /// What it left, once it has ended.
    pub(crate) fn wait(mut self) -> (Option<i32>, String, String) {
        let child = self.0.take().expect("nobody has waited for it");
        ended(&child.wait_with_output().expect("it is our child"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may be over already.
            let _killed = child.kill();
            let _ended = child.wait();
        }
    }
}

/// A driver that plays `script`, for as long as this lives.
pub(crate) struct Driver {
    folder: TempDir,
}

impl Driver {
    pub(crate) fn new(script: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("script.json"), script.to_string()).expect("a file");
        Self { folder }
    }

    /// A command whose driver this is.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command
            .args(["--source", "fake", "--interval", "150ms", "--nvml-library"])
            .arg(library());
        self.played_by(&mut command);
        command
    }

    /// `command`, which loads the library by itself, with this driver's script to play.
    pub(crate) fn played_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("ORRERY_FAKE_NVML_SCRIPT", self.folder.path().join("script.json"))
    }

    /// A server that reads this driver, which has to live as long.
    pub(crate) fn serve_kept(self) -> (Self, Server) {
        let server = Server::start(self.command(&["serve", "--listen", "127.0.0.1:0"]));
        (self, server)
    }
}

/// The fake library, built into the folder of this test's own build.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let target = target.parent().expect("the folder lies in the target folder");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "orrery-fake-nvml", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo starts");
        assert!(built.success(), "the fake library builds");
        target.join("debug/libnvidia_ml.so")
    })
}

/// A running `serve`; killed when it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    log: Receiver<String>,
    /// What it said before it named its address.
    pub(crate) preface: String,
}

impl Server {
    pub(crate) fn start(mut command: Command) -> Self {
        let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let (out, log) = channel();
        // From now on it ends with this, even when it never says where it listens.
        let mut server = Self {
            child,
            address: SocketAddr::from(([0; 4], 0)),
            log,
            preface: String::new(),
        };
        let errors = BufReader::new(server.child.stderr.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // A test that ended reads no more; the pipe has to stay open all the same.
                let _ended = out.send(line);
            }
        });
        server.address = loop {
            let line = server
                .log
                .recv_timeout(PATIENCE)
                .expect("it says where it listens");
            // Other lines may name addresses that it reads.
            let place = line
                .strip_prefix("orrery-collector: ")
                .and_then(|place| place.split_once("://"));
            if let Some((_, rest)) = place {
                let address = rest.strip_suffix("/metrics").expect("it names a page");
                break address.parse().expect("it names an address");
            }
            server.preface += &line;
            server.preface.push('\n');
        };
        server
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`, and waits; the exit code, and what was logged since the start.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        let sent = sent.is_ok_and(|status| status.success());
        assert!(sent, "`{signal}` is sent to {pid}");
        let start = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let log: Vec<String> = self.log.iter().collect();
        (code, log.join("\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
