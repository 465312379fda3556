//! A log that grows, is truncated, or is moved away and begun anew.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// The longest line that is kept; of a longer one the rest is left out.
const LONGEST_LINE: usize = 64 << 10;
/// What is read at one time, so that a log of gigabytes is not in memory at once.
const AT_A_TIME: usize = 256 << 10;
/// What is read of one log between two looks at the others.
const MOST: usize = 64 * AT_A_TIME;

/// Follows one log.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// Whether the next file is read from its beginning: all but the first are.
    from_start: bool,
    lines: Lines,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and number of the file.
    identity: (u64, u64),
    read: u64,
}

/// Bytes put together to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Takes in `bytes`; `told` hears every line that is whole.
    pub(super) fn take(&mut self, bytes: &[u8], longest: usize, told: &mut dyn FnMut(&str)) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, is_whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = longest.saturating_sub(self.begun.len());
            self.is_too_long |= text.len() > room;
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                told(&String::from_utf8_lossy(&self.begun));
                self.clear();
            }
        }
    }

    /// Whether the line that was begun is longer than a line may be.
    pub(super) const fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    fn clear(&mut self) {
        self.begun.clear();
        self.is_too_long = false;
    }
}

impl Follower {
    /// Follows the log at `path`, from its end unless `from_start`.
    pub(super) fn new(path: PathBuf, from_start: bool) -> Self {
        Self {
            path,
            open: None,
            from_start,
            lines: Lines::default(),
        }
    }

    /// Reads what was written since the last time; `told` hears every line that is whole.
    ///
    /// A log that was moved away is read to its end before the new one is opened; one that was truncated is read
    /// from its beginning.
    ///
    /// # Errors
    /// When the log cannot be read; one that does not exist yet is no error.
    pub(super) fn poll(&mut self, told: &mut dyn FnMut(&str)) -> io::Result<()> {
        self.read(told)?;
        let now = match std::fs::metadata(&self.path) {
            Ok(found) => found,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                // What comes next at this path is new.
                self.from_start = true;
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        let identity = (now.dev(), now.ino());
        match &mut self.open {
            Some(open) if open.identity == identity && now.len() >= open.read => return Ok(()),
            Some(open) if open.identity == identity => {
                open.file.seek(SeekFrom::Start(0))?;
                open.read = 0;
                self.lines.clear();
            }
            _ => {
                let mut file = File::open(&self.path)?;
                let found = file.metadata()?;
                let read = if self.from_start {
                    0
                } else {
                    file.seek(SeekFrom::End(0))?
                };
                self.from_start = true;
                self.lines.clear();
                self.open = Some(Open {
                    file,
                    identity: (found.dev(), found.ino()),
                    read,
                });
            }
        }
        self.read(told)
    }

    fn read(&mut self, told: &mut dyn FnMut(&str)) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let mut bytes = vec![0; AT_A_TIME];
        let mut read = 0;
        while read < MOST {
            match open.file.read(&mut bytes) {
                Ok(0) => break,
                Ok(more) => {
                    open.read += more as u64;
                    read += more;
                    self.lines.take(&bytes[..more], LONGEST_LINE, told);
                }
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    fn polled(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        follower.poll(&mut |line| lines.push(line.to_owned())).unwrap();
        lines
    }

    fn append(path: &std::path::Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_log_that_grows_is_read_from_its_end_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.log");
        append(&path, "old\n");
        let mut follower = Follower::new(path.clone(), false);
        assert_eq!(polled(&mut follower), [""; 0]);
        append(&path, "one\ntw");
        assert_eq!(polled(&mut follower), ["one"]);
        append(&path, "o\n\nthree\n");
        assert_eq!(polled(&mut follower), ["two", "", "three"]);
        assert_eq!(polled(&mut follower), [""; 0]);
        assert_eq!(polled(&mut Follower::new(path, true)).len(), 5);
    }

    #[test]
    fn a_log_that_is_moved_away_loses_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.log");
        append(&path, "");
        let mut follower = Follower::new(path.clone(), false);
        assert_eq!(polled(&mut follower), [""; 0]);
        append(&path, "last of the old\n");
        std::fs::rename(&path, folder.path().join("train.log.1")).unwrap();
        append(&path, "first of the new\n");
        assert_eq!(polled(&mut follower), ["last of the old", "first of the new"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(polled(&mut follower), [""; 0]);
        append(&path, "after a gap\n");
        assert_eq!(polled(&mut follower), ["after a gap"]);
    }

    #[test]
    fn a_log_that_is_truncated_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.log");
        append(&path, "one\ntwo\nbegun");
        let mut follower = Follower::new(path.clone(), true);
        assert_eq!(polled(&mut follower), ["one", "two"]);
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(polled(&mut follower), ["new"]);
    }

    #[test]
    fn a_log_that_begins_later_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.log");
        let mut follower = Follower::new(path.clone(), false);
        assert_eq!(polled(&mut follower), [""; 0]);
        append(&path, "one\n");
        assert_eq!(polled(&mut follower), ["one"]);
    }

    #[test]
    fn a_line_without_an_end_takes_bounded_room() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for _ in 0..1000 {
            lines.take(&[b'x'; 1000], 5000, &mut |line| told.push(line.len()));
        }
        assert!(lines.is_too_long() && lines.begun.len() == 5000);
        lines.take(b"\nshort\n", 5000, &mut |line| told.push(line.len()));
        assert_eq!(told, [5000, 5]);
    }
}
