//! What files say, as they say it now: a token that leaked is to be changed, and a certificate runs out, and a daemon is
//! not to be restarted for either.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// A value that is read from files and read again while the daemon runs. Clones are of one value.
#[derive(Clone)]
pub(crate) struct Followed<T> {
    name: String,
    now: Arc<RwLock<T>>,
    read: Arc<Read<T>>,
    fault: Arc<RwLock<Option<String>>>,
}

type Read<T> = dyn Fn() -> Result<T, String> + Send + Sync;

impl<T: Clone + PartialEq> Followed<T> {
    /// The value that `read` gives now; `name` is what the log calls it.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn new<E: fmt::Display>(
        name: String,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        Ok(Self {
            name,
            now: Arc::new(RwLock::new(read()?)),
            read: Arc::new(move || read().map_err(|fault| fault.to_string())),
            fault: Arc::default(),
        })
    }

    /// The value in force.
    pub(crate) fn now(&self) -> T {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up what the files say. While that cannot be used, what was there before is in force, and its fault is told
    /// once.
    pub(crate) fn look(&self) {
        let fault = match (self.read)() {
            Ok(value) => {
                if self.now() != value {
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = value;
                    tracing::info!("{} was changed", self.name);
                }
                None
            }
            Err(fault) => Some(fault),
        };
        let mut told = self.fault.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = &fault
            && told.as_ref() != Some(fault)
        {
            tracing::warn!("{} stays the one before: {fault}", self.name);
        }
        *told = fault;
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Followed").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_cannot_be_used_leaves_what_was_there() {
        let file = Arc::new(Mutex::new(Ok::<_, String>(1)));
        let said = file.clone();
        let followed = Followed::new("the number".to_owned(), move || said.lock().unwrap().clone()).unwrap();
        let copy = followed.clone();
        for (says, wanted, fault) in [
            (Ok(2), 2, None),
            (Err("half".to_owned()), 2, Some("half")),
            (Err("none".to_owned()), 2, Some("none")),
            (Ok(3), 3, None),
        ] {
            *file.lock().unwrap() = says;
            followed.look();
            assert_eq!(copy.now(), wanted);
            assert_eq!(copy.fault.read().unwrap().as_deref(), fault);
        }
    }
}
