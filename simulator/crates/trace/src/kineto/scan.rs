//! Where the values of a JSON text begin and end, read from a stream without holding more than one of them.

use std::io::Read;

/// The longest event that is read; a longer one is a fault of the file.
const LONGEST: usize = 16 << 20;
/// Bytes asked of the source at a time.
const CHUNK: usize = 256 << 10;

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The source failed.
    Source(std::io::Error),
    /// The text ended inside a value.
    Ended,
    /// A byte that cannot be there.
    Unexpected(u8),
    /// A value of more than [`LONGEST`] bytes.
    TooLong,
}

/// A JSON text as it comes in.
#[derive(Debug)]
pub(crate) struct Scanner<R> {
    source: R,
    bytes: Vec<u8>,
    /// The next byte that was not looked at.
    at: usize,
    /// Bytes before those that are held.
    before: u64,
    ended: bool,
}

impl<R: Read> Scanner<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            bytes: Vec::new(),
            at: 0,
            before: 0,
            ended: false,
        }
    }

    /// The place of the next byte in the text.
    pub(crate) fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Reads on, keeping what lies from `keep` on; `keep` is then at 0. False at the end of the text.
    fn fill(&mut self, keep: usize) -> Result<bool, Fault> {
        if self.ended {
            return Ok(false);
        }
        self.bytes.drain(..keep);
        self.before += keep as u64;
        self.at -= keep;
        let held = self.bytes.len();
        if held > LONGEST {
            return Err(Fault::TooLong);
        }
        self.bytes.resize(held + CHUNK, 0);
        let mut filled = held;
        while filled == held {
            match self.source.read(&mut self.bytes[held..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(count) => filled += count,
                Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
                Err(fault) => {
                    self.bytes.truncate(held);
                    return Err(Fault::Source(fault));
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(filled > held)
    }

    /// The next byte that is no white space, which stays where it is.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            let rest = &self.bytes[self.at..];
            match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(skip) => {
                    self.at += skip;
                    return Ok(Some(self.bytes[self.at]));
                }
                None => {
                    self.at = self.bytes.len();
                    if !self.fill(self.at)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Steps over the byte that [`peek`](Self::peek) gave.
    pub(crate) fn skip(&mut self) {
        self.at += 1;
    }

    /// Steps over `byte`, which must come next.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        match self.peek()? {
            Some(next) if next == byte => {
                self.skip();
                Ok(())
            }
            Some(other) => Err(Fault::Unexpected(other)),
            None => Err(Fault::Ended),
        }
    }

    /// The text of the next value, whatever it is.
    pub(crate) fn value(&mut self) -> Result<&[u8], Fault> {
        let first = self.peek()?.ok_or(Fault::Ended)?;
        // All before the value can go; its own bytes stay together.
        let mut place = Place::default();
        let mut from = self.at;
        let mut look = self.at;
        loop {
            if let Some(end) = place.advance(&self.bytes, &mut look, first) {
                self.at = end;
                return Ok(&self.bytes[from..end]);
            }
            let held = look - from;
            self.at = from;
            if !self.fill(from)? {
                // A bare number or word may end with the text.
                if place.is_bare() && held > 0 {
                    self.at = look;
                    return Ok(&self.bytes[from..look]);
                }
                return Err(Fault::Ended);
            }
            from = self.at;
            look = from + held;
        }
    }
}

/// How deep into a value a look has gone.
#[derive(Debug, Default)]
struct Place {
    depth: u32,
    in_text: bool,
    escaped: bool,
    begun: bool,
    bare: bool,
}

impl Place {
    const fn is_bare(&self) -> bool {
        self.bare
    }

    /// Looks on from `look`; gives the end of the value once it is found.
    fn advance(&mut self, bytes: &[u8], look: &mut usize, first: u8) -> Option<usize> {
        if !self.begun {
            self.begun = true;
            self.bare = !matches!(first, b'{' | b'[' | b'"');
        }
        while *look < bytes.len() {
            if self.in_text {
                if self.escaped {
                    self.escaped = false;
                    *look += 1;
                    continue;
                }
                let Some(next) = memchr::memchr2(b'"', b'\\', &bytes[*look..]) else {
                    *look = bytes.len();
                    return None;
                };
                *look += next + 1;
                if bytes[*look - 1] == b'\\' {
                    self.escaped = true;
                } else {
                    self.in_text = false;
                    if self.depth == 0 {
                        return Some(*look);
                    }
                }
                continue;
            }
            match bytes[*look] {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == 0 => return Some(*look),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        *look += 1;
                        return Some(*look);
                    }
                }
                b',' | b' ' | b'\n' | b'\r' | b'\t' if self.bare && self.depth == 0 => return Some(*look),
                _ => {}
            }
            *look += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn values(text: &str) -> Vec<String> {
        let mut scanner = Scanner::new(Slow(text.as_bytes()));
        let mut found = Vec::new();
        while let Ok(Some(next)) = scanner.peek() {
            if next == b',' {
                scanner.skip();
                continue;
            }
            match scanner.value() {
                Ok(value) => found.push(String::from_utf8_lossy(value).into_owned()),
                Err(_) => break,
            }
        }
        found
    }

    #[test]
    fn values_are_told_apart_however_they_come_in() {
        let text = r#" {"a": [1, {"b": "}\"]"}]} , "x\\" , 12.5,true,[[],{}] , null"#;
        assert_eq!(
            values(text),
            [
                r#"{"a": [1, {"b": "}\"]"}]}"#,
                r#""x\\""#,
                "12.5",
                "true",
                "[[],{}]",
                "null"
            ]
        );
    }

    #[test]
    fn what_does_not_end_is_a_fault() {
        let mut scanner = Scanner::new(&b"{\"a\": 1"[..]);
        assert!(matches!(scanner.value(), Err(Fault::Ended)), "no end");
        assert_eq!(scanner.position(), 0, "it stopped where the value begins");
    }
}
