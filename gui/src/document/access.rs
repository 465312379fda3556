//! What collectors want to see of the window, and whom it believes.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How collectors are spoken to: a token that is shown to all of them, and certificates that vouch for theirs.
#[derive(Clone, Default)]
pub struct Access {
    /// What the header `Authorization` says.
    authorization: Option<Arc<str>>,
    /// Certificates of authorities; those that Mozilla trusts if none are named.
    roots: Option<RootCerts>,
}

impl Access {
    /// Shows the token in `token` and trusts the certificates (PEM) in `ca`.
    ///
    /// # Errors
    /// Why one of the files cannot be used, with its path.
    pub fn read(token: Option<&Path>, ca: Option<&Path>) -> Result<Self, String> {
        let fault = |path: &Path, why: &dyn fmt::Display| format!("{why}: {}", path.display());
        let authorization = match token {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|why| fault(path, &why))?;
                let word = text.trim();
                if word.is_empty() || word.chars().any(|c| !c.is_ascii_graphic()) {
                    return Err(fault(path, &"holds no token of one line"));
                }
                Some(format!("Bearer {word}").into())
            }
        };
        let roots = match ca {
            None => None,
            Some(path) => {
                let text = fs::read(path).map_err(|why| fault(path, &why))?;
                let items = parse_pem(&text).filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                });
                let certificates: Vec<_> = items.collect();
                if certificates.is_empty() {
                    return Err(fault(path, &"has no certificate in PEM"));
                }
                Some(RootCerts::from(certificates))
            }
        };
        Ok(Self { authorization, roots })
    }

    /// What the header `Authorization` says, if it is sent.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// How TLS is spoken.
    pub(super) fn tls(&self) -> TlsConfig {
        let mut builder = TlsConfig::builder();
        if let Some(roots) = &self.roots {
            builder = builder.root_certs(roots.clone());
        }
        builder.build()
    }
}

impl fmt::Debug for Access {
    /// Never the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("has_token", &self.authorization.is_some())
            .field("has_roots", &self.roots.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_shown_to_collectors_and_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "s3cret\n").unwrap();
        let access = Access::read(Some(&file), None).unwrap();
        assert_eq!(access.authorization(), Some("Bearer s3cret"));
        assert!(!format!("{access:?}").contains("s3cret"));
    }

    #[test]
    fn files_that_hold_nothing_of_use_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("empty");
        fs::write(&file, "two\nlines").unwrap();
        for fault in [
            Access::read(Some(&file), None),
            Access::read(None, Some(&file)),
            Access::read(Some(&folder.path().join("absent")), None),
        ] {
            let words = fault.unwrap_err();
            assert!(words.contains(&folder.path().display().to_string()), "{words}");
        }
    }
}
