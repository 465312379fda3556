//! A place to draw without a window, and what drawing takes.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egui::{Context, Event, Pos2, RawInput, Rect, Ui, vec2};
use orrery_gui::App;
use rustix::time::{ClockId, clock_gettime};

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
    pub(crate) fn frame(&mut self, events: Vec<Event>, draw: impl FnMut(&mut Ui)) -> Frame {
        let input = self.input(events);
        let (began, before) = (Instant::now(), processor_time());
        let output = self.context.run_ui(input, draw);
        let _meshes = self.context.tessellate(output.shapes, output.pixels_per_point);
        Frame {
            wall: began.elapsed(),
            processor: processor_time().saturating_sub(before),
        }
    }

    /// A frame of `app`: what it takes, its logic included.
    pub(crate) fn app_frame(&mut self, app: &mut App, events: Vec<Event>) -> Frame {
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

/// What a frame took.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// From its beginning to its end.
    pub(crate) wall: Duration,
    /// Of that, what this thread ran: on a busy machine it is made to wait for others.
    processor: Duration,
}

/// How long this thread has run.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Frames: the median, the 99th percentile and the longest, and the most that one of them ran.
pub(crate) struct Took {
    wall: Vec<Duration>,
    processor: Duration,
}

impl Took {
    pub(crate) fn of(frames: &[Frame]) -> Self {
        let mut wall: Vec<Duration> = frames.iter().map(|frame| frame.wall).collect();
        wall.sort_unstable();
        let processor = frames.iter().map(|frame| frame.processor).max();
        Self {
            wall,
            processor: processor.unwrap_or_default(),
        }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: &Duration| time.as_secs_f64() * 1e3;
        let at = |share: f64| {
            let place = (self.wall.len().saturating_sub(1) as f64 * share) as usize;
            self.wall.get(place).map_or(0.0, millis)
        };
        write!(
            f,
            "median {:.2} ms, p99 {:.2} ms, longest {:.2} ms (at most {:.2} ms of processor time)",
            at(0.5),
            at(0.99),
            at(1.0),
            millis(&self.processor)
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
