//! The Unix socket that trainers write JSON lines to.

use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::follow::Lines;

/// Trainers at one time: every rank of a node may be one.
const MOST_CLIENTS: usize = 64;
/// The longest line: loads of hundreds of layers of hundreds of experts.
const LONGEST_LINE: usize = 1 << 20;
/// What is read of one trainer between two looks at the others.
const AT_A_TIME: usize = 256 << 10;
/// Who may write: the owner and the group, so that trainers of other users are let in by a group.
const MODE: u32 = 0o660;

/// Listens for trainers.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    lines: Lines,
}

impl Socket {
    /// Listens at `path`. A socket that is left there, and that nobody listens on, is taken away.
    ///
    /// # Errors
    /// When somebody else listens there, something else lies there, or it cannot be made.
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "it is there, and no socket",
                ));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another collector listens there",
                ));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            clients: Vec::new(),
        })
    }

    /// Takes in who came and reads what was written; `told` hears every line that is whole. A trainer that is one too
    /// many, breaks off or writes a line that has no end is let go.
    pub(super) fn poll(&mut self, told: &mut dyn FnMut(&str)) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < MOST_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client {
                    stream,
                    lines: Lines::default(),
                });
            } else {
                tracing::warn!("a trainer is let go: {MOST_CLIENTS} write already");
            }
        }
        self.clients.retain_mut(|client| client.read(told));
    }
}

impl Client {
    /// Reads what there is; whether the trainer stays.
    fn read(&mut self, told: &mut dyn FnMut(&str)) -> bool {
        let mut bytes = [0; 16 << 10];
        let mut read = 0;
        while read < AT_A_TIME {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(more) => {
                    read += more;
                    self.lines.take(&bytes[..more], LONGEST_LINE, told);
                    if self.lines.is_too_long() {
                        tracing::warn!("a trainer is let go: a line of more than {LONGEST_LINE} bytes");
                        return false;
                    }
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return fault.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have taken it away already.
        let _gone = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn polled(socket: &mut Socket) -> Vec<String> {
        let mut lines = Vec::new();
        socket.poll(&mut |line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn trainers_come_write_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainers.sock");
        let mut socket = Socket::listen(&path).unwrap();
        assert!(
            Socket::listen(&path)
                .unwrap_err()
                .to_string()
                .contains("another collector")
        );
        let mut first = UnixStream::connect(&path).unwrap();
        let mut second = UnixStream::connect(&path).unwrap();
        first.write_all(b"one\ntw").unwrap();
        second.write_all(b"three\n").unwrap();
        assert_eq!(polled(&mut socket), ["one", "three"]);
        first.write_all(b"o\n").unwrap();
        drop(first);
        assert_eq!(polled(&mut socket), ["two"]);
        assert_eq!(socket.clients.len(), 1);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_was_left_behind_is_taken_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainers.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Socket::listen(&path).unwrap());
        std::fs::write(&path, "mine").unwrap();
        assert!(
            Socket::listen(&path)
                .unwrap_err()
                .to_string()
                .contains("no socket")
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn who_writes_without_end_is_let_go_and_no_more_come_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainers.sock");
        let mut socket = Socket::listen(&path).unwrap();
        let mut endless = UnixStream::connect(&path).unwrap();
        endless.set_nonblocking(true).unwrap();
        let mut written = 0;
        for _ in 0..10_000 {
            match endless.write(&[b'x'; 1 << 16]) {
                Ok(more) => written += more,
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {}
                Err(_gone) => break,
            }
            assert_eq!(polled(&mut socket), [""; 0]);
            if written > 2 * LONGEST_LINE {
                break;
            }
        }
        assert_eq!(socket.clients.len(), 0, "after {written} bytes");
        let many: Vec<UnixStream> = (0..MOST_CLIENTS + 20)
            .map(|_| {
                let client = UnixStream::connect(&path).unwrap();
                polled(&mut socket);
                client
            })
            .collect();
        assert_eq!(socket.clients.len(), MOST_CLIENTS);
        drop(many);
    }
}
