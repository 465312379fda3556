//! The desktop app: a window over simulated and measured runs.
//!
//! The document ([`Document`]) is immutable and knows no widget; panels read a snapshot of it and send
//! [`Command`]s. `App::logic` drains channels and applies commands, `App::ui` draws. Simulations run on a
//! thread of their own and are cancelled through the engine's own control.

mod app;
mod document;
mod panels;
mod theme;

pub use app::{App, Command, Start};
pub use document::{
    Device, Document, Finished, Fleet, FleetEvent, FleetMetric, FleetSnapshot, Node, Running, Wake,
};
pub use panels::timeline::TimelineModel;

/// Opens the window on `start` and returns when it is closed.
///
/// # Errors
/// When no window can be opened, such as without a display.
pub fn open(start: Start) -> anyhow::Result<()> {
    let options = eframe::NativeOptions {
        viewport: eframe::egui::ViewportBuilder::default()
            .with_title("Orrery")
            .with_inner_size([1440.0, 900.0])
            .with_min_inner_size([640.0, 480.0]),
        ..eframe::NativeOptions::default()
    };
    let create = |context: &eframe::CreationContext<'_>| Ok(App::new(&context.egui_ctx, start).boxed());
    eframe::run_native("orrery", options, Box::new(create))
        .map_err(|fault| anyhow::anyhow!("cannot open a window: {fault}"))
}
