//! A place to draw without a window, and what drawing takes.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui::{Context, Event, Pos2, RawInput, Rect, Ui, vec2};
use orrery_gui::App;

/// A context, and when it is to be drawn again.
pub(crate) struct Stage {
    pub(crate) context: Context,
    due: Arc<Mutex<Option<Instant>>>,
    began: Instant,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let context = Context::default();
        let due = Arc::new(Mutex::new(Some(Instant::now())));
        let asked = Arc::clone(&due);
        context.set_request_repaint_callback(move |info| {
            let at = Instant::now() + info.delay.min(Duration::from_secs(3600));
            if let Ok(mut due) = asked.lock() {
                *due = Some(due.map_or(at, |known| known.min(at)));
            }
        });
        Self {
            context,
            due,
            began: Instant::now(),
        }
    }

    /// Whether somebody asked for a frame by now.
    pub(crate) fn is_due(&self) -> bool {
        let due = self.due.lock().map_or(None, |due| *due);
        due.is_some_and(|at| at <= Instant::now())
    }

    fn input(&self, events: Vec<Event>) -> RawInput {
        if let Ok(mut due) = self.due.lock() {
            *due = None;
        }
        RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(1440.0, 900.0))),
            time: Some(self.began.elapsed().as_secs_f64()),
            events,
            ..RawInput::default()
        }
    }

    /// A frame of `draw`: what it takes with tessellation.
    pub(crate) fn frame(&mut self, events: Vec<Event>, draw: impl FnMut(&mut Ui)) -> Duration {
        let input = self.input(events);
        let began = Instant::now();
        let output = self.context.run_ui(input, draw);
        let _meshes = self.context.tessellate(output.shapes, output.pixels_per_point);
        began.elapsed()
    }

    /// A frame of `app`: what it takes, its logic included.
    pub(crate) fn app_frame(&mut self, app: &mut App, events: Vec<Event>) -> Duration {
        let context = self.context.clone();
        let mut frame = eframe::Frame::_new_kittest();
        let mut begun = false;
        self.frame(events, |ui| {
            // Logic once a frame, as the window does.
            if !std::mem::replace(&mut begun, true) {
                eframe::App::logic(app, &context, &mut frame);
            }
            eframe::App::ui(app, ui, &mut frame);
        })
    }
}

/// Frames: the median, the 99th percentile and the longest.
pub(crate) struct Took(Vec<Duration>);

impl Took {
    pub(crate) fn of(mut frames: Vec<Duration>) -> Self {
        frames.sort_unstable();
        Self(frames)
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: f64| {
            let place = (self.0.len().saturating_sub(1) as f64 * share) as usize;
            self.0.get(place).map_or(0.0, |frame| frame.as_secs_f64() * 1e3)
        };
        write!(
            f,
            "median {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}

/// A line: what, how much, and the bar.
pub(crate) fn print(what: &str, figure: &str, bar: &str) -> io::Result<()> {
    let bar = if bar.is_empty() {
        String::new()
    } else {
        format!("  (bar {bar})")
    };
    writeln!(io::stdout().lock(), "{what}: {figure}{bar}")
}
