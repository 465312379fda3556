//! Who may ask: everybody on loopback, nobody beyond it without credentials but for `/healthz`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::followed::Followed;

/// The shortest token, in characters: 128 bits as hexadecimal digits are twice as many.
pub(crate) const SHORTEST: usize = 16;
/// The longest token, in characters: the head of a request has to hold it.
const LONGEST: usize = 4096;
/// The longest file that is read for a secret, in bytes.
const LONGEST_FILE: u64 = 64 << 10;

/// How to make a token, for error texts.
pub(crate) const MAKE_TOKEN: &str = "(umask 077; openssl rand -hex 32 > FILE)";

/// A secret that clients show; only its digest is kept.
#[derive(Clone, Copy)]
pub(crate) struct Token([u8; 32]);

/// Why a token cannot be used.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token cannot be read: {fault}: `{}`\nmake one with `{MAKE_TOKEN}`", .path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        fault: io::Error,
    },
    /// Others may read the file.
    #[error(
        "others may read the secret, its mode is {mode:o}: `{path}`\nmake it yours alone with `chmod 600 {path}`",
        path = .path.display()
    )]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text is no token.
    #[error(
        "a token is {SHORTEST} to {LONGEST} visible ASCII characters on one line, and this is none: `{}`\nmake one \
         with `{MAKE_TOKEN}`", .0.display()
    )]
    NoToken(PathBuf),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It shows nothing.
    Missing,
    /// What it shows is not right.
    Wrong,
    /// Nobody can be let in: there is nothing to show.
    Closed,
}

/// Who may ask.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Everybody: only processes of this machine can connect.
    Everybody,
    /// Who shows the token, if there is one, or a certificate, if clients may have those.
    Shown {
        token: Option<Followed<Token>>,
        by_certificate: bool,
    },
}

impl Access {
    /// The token, if one is asked for.
    pub(crate) const fn token(&self) -> Option<&Followed<Token>> {
        match self {
            Self::Shown { token, .. } => token.as_ref(),
            Self::Everybody => None,
        }
    }

    /// Whether a request with `headers`, over a connection with a certificate or without, may be answered.
    pub(crate) fn check(&self, headers: &HeaderMap, has_certificate: bool) -> Result<(), Refusal> {
        let Self::Shown {
            token,
            by_certificate,
        } = self
        else {
            return Ok(());
        };
        // Only certificates that were checked get here.
        if *by_certificate && has_certificate {
            return Ok(());
        }
        let Some(token) = token else {
            return Err(if *by_certificate {
                Refusal::Missing
            } else {
                Refusal::Closed
            });
        };
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (None, _) => Err(Refusal::Missing),
            (Some(shown), None) if token.now().is(bearer(shown.as_bytes())) => Ok(()),
            _ => Err(Refusal::Wrong),
        }
    }
}

/// The token of an `Authorization` header; empty for any other scheme.
fn bearer(header: &[u8]) -> &[u8] {
    let scheme = b"bearer ";
    match header.split_at_checked(scheme.len()) {
        Some((shown, token)) if shown.eq_ignore_ascii_case(scheme) => token.trim_ascii(),
        _ => &[],
    }
}

impl Token {
    /// Reads the token in the file `path`, which nobody but its owner may read.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        Ok(Self::of(read_token(path)?.as_bytes()))
    }

    /// The token of this text.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Whether `shown` is the token. Digests are compared, in constant time, so that neither length nor content
    /// of the token shows in how long it takes.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        *self == Self::of(shown)
    }
}

/// The text of the token in the file `path`, for whoever has to show it; nobody but its owner may read the file.
pub(crate) fn read_token(path: &Path) -> Result<String, TokenError> {
    let secret = read_secret(path)?;
    let text = secret.trim_ascii();
    if !(SHORTEST..=LONGEST).contains(&text.len()) || !text.iter().all(u8::is_ascii_graphic) {
        return Err(TokenError::NoToken(path.to_owned()));
    }
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// The token that the file `path` holds, as it holds it now.
pub(crate) fn token_file(path: &Path) -> Result<Followed<Token>, TokenError> {
    let file = path.to_owned();
    Followed::new(format!("the token in `{}`", path.display()), move || {
        Token::read(&file)
    })
}

/// In constant time.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The content of the file `path`, which nobody but its owner may read. The file that is looked at is the file
/// that is read.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, TokenError> {
    let unread = |fault| TokenError::Unread {
        path: path.to_owned(),
        fault,
    };
    let file = File::open(path).map_err(unread)?;
    let metadata = file.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(unread(io::Error::other("it is no file")));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    if mode & forbidden(path, credentials.as_deref().map(Path::new)) != 0 {
        return Err(TokenError::Shared {
            path: path.to_owned(),
            mode,
        });
    }
    let mut secret = Vec::new();
    file.take(LONGEST_FILE + 1)
        .read_to_end(&mut secret)
        .map_err(unread)?;
    if secret.len() as u64 > LONGEST_FILE {
        return Err(unread(io::Error::other("it is too long")));
    }
    Ok(secret)
}

/// The bits of a mode that let others read the secret at `path`. Files in systemd's folder of credentials belong to
/// root, and the service reads them by an entry in their access control list: its mask is what the bits of the group
/// show there.
fn forbidden(path: &Path, credentials: Option<&Path>) -> u32 {
    let is_credential =
        credentials.is_some_and(|folder| !folder.as_os_str().is_empty() && path.starts_with(folder));
    if is_credential { 0o037 } else { 0o077 }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn shown(values: &[&str]) -> HeaderMap {
        let values = values.iter();
        values
            .map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    /// The token in a file that is not there.
    fn held(text: &str) -> Followed<Token> {
        let token = Token::of(text.as_bytes());
        Followed::new("a token".to_owned(), move || Ok::<_, TokenError>(token)).unwrap()
    }

    #[test]
    fn a_token_that_changed_is_in_force_and_one_that_is_none_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write(TOKEN, 0o600);
        let file = token_file(&path).unwrap();
        let access = Access::Shown {
            token: Some(file.clone()),
            by_certificate: false,
        };
        let [old, new] = [TOKEN.to_owned(), TOKEN.to_uppercase()];
        let is_let_in = |token: &str| access.check(&shown(&[&format!("Bearer {token}")]), false).is_ok();
        // Neither a file that is being written nor one that others may read closes the door or opens it.
        for (text, mode, wanted) in [
            ("", 0o600, [true, false]),
            (&new[..10], 0o600, [true, false]),
            (&new, 0o644, [true, false]),
            (&new, 0o600, [false, true]),
            (&new, 0o600, [false, true]),
            (&old, 0o600, [true, false]),
        ] {
            write(text, mode);
            file.look();
            assert_eq!(
                [&old, &new].map(|token| is_let_in(token)),
                wanted,
                "{text} {mode:o}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        file.look();
        assert!(is_let_in(&old));
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let access = Access::Shown {
            token: Some(held(TOKEN)),
            by_certificate: false,
        };
        let check = |values: &[&str]| access.check(&shown(values), false);
        let right = format!("Bearer {TOKEN}");
        assert_eq!(check(&[&right]), Ok(()));
        assert_eq!(
            check(&[&format!("bearer  {TOKEN} ")]),
            Ok(()),
            "the scheme has no case"
        );
        assert_eq!(check(&[]), Err(Refusal::Missing));
        for wrong in [
            String::new(),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            TOKEN.to_owned(),
            format!("Basic {TOKEN}"),
            format!("Bearer {}", &TOKEN[..31]),
            format!("Bearer {TOKEN}0"),
            format!("Bearer {}", TOKEN.to_uppercase()),
            format!("Bearer {}", TOKEN.repeat(100)),
        ] {
            assert_eq!(check(&[&wrong]), Err(Refusal::Wrong), "{wrong}");
        }
        assert_eq!(check(&[&right, &right]), Err(Refusal::Wrong), "two are none");
    }

    #[test]
    fn a_certificate_counts_where_clients_may_have_one() {
        let access = |token, by_certificate| Access::Shown {
            token,
            by_certificate,
        };
        let none = HeaderMap::new();
        assert_eq!(access(None, true).check(&none, true), Ok(()));
        assert_eq!(access(None, true).check(&none, false), Err(Refusal::Missing));
        assert_eq!(access(None, false).check(&none, true), Err(Refusal::Closed));
        assert_eq!(
            access(None, false).check(&shown(&["Bearer "]), false),
            Err(Refusal::Closed)
        );
        let token = held(TOKEN);
        assert_eq!(
            access(Some(token.clone()), false).check(&none, true),
            Err(Refusal::Missing)
        );
        assert_eq!(access(Some(token), true).check(&none, true), Ok(()));
        assert_eq!(Access::Everybody.check(&none, false), Ok(()));
    }

    #[test]
    fn what_systemd_hands_over_may_show_the_bits_of_its_access_list() {
        let credentials = Some(Path::new("/run/credentials/orrery-collector.service"));
        let inside = Path::new("/run/credentials/orrery-collector.service/token");
        assert_eq!(forbidden(inside, credentials), 0o037);
        assert_eq!(forbidden(Path::new("/etc/token"), credentials), 0o077);
        assert_eq!(forbidden(inside, None), 0o077);
        assert_eq!(forbidden(inside, Some(Path::new(""))), 0o077);
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Token::read(&path)
        };
        let token = read(&format!("{TOKEN}\n"), 0o600).unwrap();
        assert!(token.is(TOKEN.as_bytes()));
        assert!(read(TOKEN, 0o400).is_ok());
        assert!(!format!("{token:?}").contains('0'), "a secret is not printed");
        for mode in [0o640, 0o604, 0o610, 0o644] {
            let fault = read(TOKEN, mode).unwrap_err().to_string();
            assert!(
                fault.contains("chmod 600") && fault.contains(&format!("{mode:o}")),
                "{fault}"
            );
        }
        let long = "a".repeat(5000);
        for text in [
            "",
            "\n",
            "short",
            "with a space in it, and long enough",
            "zwölf-große-bären-sind-kein-ascii",
            &long,
        ] {
            let fault = read(text, 0o600).unwrap_err().to_string();
            assert!(fault.contains("openssl rand -hex 32"), "{text}: {fault}");
        }
        let fault = read(&"a".repeat(100_000), 0o600).unwrap_err().to_string();
        assert!(fault.contains("too long"), "{fault}");
        let fault = Token::read(folder.path()).unwrap_err().to_string();
        assert!(fault.contains("it is no file"), "{fault}");
        let fault = Token::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(fault.contains("openssl rand"), "{fault}");
    }
}
