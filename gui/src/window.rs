//! Opens the window, and says in one line why there is none.

use std::any::Any;
use std::env;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use eframe::egui::ViewportBuilder;
use thiserror::Error;

use crate::app::{App, Session, Start};

/// Why the window did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// There is no window: no display, or no way to draw on it.
    #[error("{0}")]
    NoWindow(String),
    /// The window was open, and there is no picture of it.
    #[error("{0}")]
    NoPicture(String),
}

/// Why no window can be opened, as far as the environment tells; `None` when one may be tried.
#[must_use]
pub fn no_display() -> Option<String> {
    let by_environment = cfg!(all(unix, not(target_os = "macos")));
    let names = ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"];
    let named = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let silent = by_environment && !names.iter().any(named);
    silent.then(|| "neither DISPLAY nor WAYLAND_DISPLAY is set".to_owned())
}

/// Opens the window on `start` and returns when it is closed.
///
/// # Errors
/// When no window can be opened, or the picture that was asked for could not be taken.
pub fn open(start: Start) -> Result<(), OpenError> {
    if let Some(why) = no_display() {
        return Err(OpenError::NoWindow(why));
    }
    let session = start.session.as_deref().map(Session::read).unwrap_or_default();
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title("Orrery")
            .with_inner_size(session.size.unwrap_or([1440.0, 900.0]))
            .with_min_inner_size([640.0, 480.0]),
        ..eframe::NativeOptions::default()
    };
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&is_open);
    let (picture, taken) = channel();
    let create = move |context: &eframe::CreationContext<'_>| {
        opened.store(true, Ordering::Relaxed);
        let app = App::new(&context.egui_ctx, start);
        // The other end waits below.
        drop(picture.send(app.photograph()));
        Ok(app.boxed())
    };
    let run = || eframe::run_native("orrery", options, Box::new(create));
    match quiet_until(&is_open, run) {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => return Err(OpenError::NoWindow(one_line(&fault.to_string()))),
        Err(panic) if is_open.load(Ordering::Relaxed) => panic::resume_unwind(panic),
        // Libraries of the window system that are not installed end so.
        Err(panic) => return Err(OpenError::NoWindow(one_line(words_of(panic.as_ref())))),
    }
    match taken.try_recv() {
        Ok(Some(photograph)) => photograph.outcome().map_err(OpenError::NoPicture),
        Ok(None) | Err(_) => Ok(()),
    }
}

type Panic = Box<dyn Any + Send>;

/// Runs `work`; a panic before the window `is_open` is returned and not printed.
fn quiet_until<T>(is_open: &Arc<AtomicBool>, work: impl FnOnce() -> T) -> Result<T, Panic> {
    let usual = Arc::new(panic::take_hook());
    let (shown, when) = (Arc::clone(&usual), Arc::clone(is_open));
    panic::set_hook(Box::new(move |panic| {
        if when.load(Ordering::Relaxed) {
            shown(panic);
        }
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(Box::new(move |panic| usual(panic)));
    result
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the window system gave up")
}

/// `text` in one line, without the place in a source file that the window library puts before the words.
fn one_line(text: &str) -> String {
    let words = match text.split_once(".rs:") {
        Some((_, place)) => place.split_once(": ").map_or(text, |(_, words)| words),
        None => text,
    };
    words.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_before_the_window_is_returned_with_its_words() {
        let is_open = Arc::new(AtomicBool::new(false));
        let panic = quiet_until(&is_open, || panic!("no {}\nlibrary", "such")).unwrap_err();
        assert_eq!(one_line(words_of(panic.as_ref())), "no such library");
        assert_eq!(quiet_until(&is_open, || 3).unwrap(), 3);
        let long = "os error at /home/x/winit/src/mod.rs:788: Failed to open";
        assert_eq!(one_line(long), "Failed to open");
    }
}
