//! A picture of the window as a file, for whoever cannot sit before it.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eframe::egui::{self, ColorImage, ScreenshotCallback, ViewportCommand};

use crate::Document;

/// How long the window waits for the run and the fleet.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the picture itself may take once it was asked for.
const EXPOSURE: Duration = Duration::from_secs(30);
/// How long the fleet is listened to before the picture is taken, so that its histories show a line.
const FLEET_SPEAKS: Duration = Duration::from_secs(4);

/// What became of the picture: `None` while it is not taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Photograph(Arc<Mutex<Option<Result<(), String>>>>);

impl Photograph {
    /// What became of it.
    ///
    /// # Errors
    /// Why there is no picture.
    pub(crate) fn outcome(&self) -> Result<(), String> {
        let outcome = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.unwrap_or_else(|| Err("the window was closed before the picture was taken".to_owned()))
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The first outcome counts.
    fn settle(&self, outcome: Result<(), String>) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_insert(outcome);
    }
}

/// Waits until there is something to see, takes the picture and closes the window.
#[derive(Debug)]
pub(super) struct Photographer {
    path: PathBuf,
    opened: Instant,
    spoke: Option<Instant>,
    asked: Option<Instant>,
    photograph: Photograph,
}

impl Photographer {
    /// A picture that will go to `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            opened: Instant::now(),
            spoke: None,
            asked: None,
            photograph: Photograph::default(),
        }
    }

    pub(super) fn photograph(&self) -> Photograph {
        self.photograph.clone()
    }

    /// Does what is next, given what the window shows.
    pub(super) fn look(&mut self, document: &Document, context: &egui::Context) {
        if self.photograph.is_over() {
            context.send_viewport_cmd(ViewportCommand::Close);
            return;
        }
        context.request_repaint_after(Duration::from_millis(100));
        if let Some(asked) = self.asked {
            if asked.elapsed() > EXPOSURE {
                self.photograph
                    .settle(Err("the window gave no picture".to_owned()));
            }
            return;
        }
        if document.fleet.num_devices() > 0 {
            self.spoke.get_or_insert_with(Instant::now);
        }
        match self.missing(document) {
            None => self.take(context),
            Some(what) if self.opened.elapsed() > PATIENCE => {
                let seconds = PATIENCE.as_secs();
                self.photograph
                    .settle(Err(format!("no picture after {seconds} s: {what}")));
            }
            Some(_) => {}
        }
    }

    /// What the picture still waits for.
    fn missing(&self, document: &Document) -> Option<&'static str> {
        let explored = document.explore.found.is_some() || document.explore.fault.is_some();
        // Where no scenario is open, nothing runs: something was opened to be looked at.
        let opened = document.shelf.is_empty() && !document.runs.kept.is_empty();
        let ran = document.finished.is_some() || document.fault.is_some() || explored || opened;
        let faulty = document.checked.is_some() && document.plan.is_none();
        if !ran && !faulty {
            return Some("the run is not over");
        }
        if document.explore.searching.is_some() {
            return Some("the search is not over");
        }
        let chosen = document.explore.found.as_ref().and_then(|(_, model)| model.best);
        if chosen.is_some() && document.explore.weighed.is_none() {
            return Some("the best layout is still being looked at");
        }
        if document.sheets.preparing.is_some() {
            return Some("the sheet is still being made");
        }
        if !document.runs.is_settled() {
            return Some("something is still being opened");
        }
        match self.spoke {
            None => Some("no collector reported a device"),
            Some(since) if since.elapsed() < FLEET_SPEAKS => Some("the fleet has only begun to speak"),
            Some(_) => None,
        }
    }

    fn take(&mut self, context: &egui::Context) {
        self.asked = Some(Instant::now());
        let (path, photograph, again) = (self.path.clone(), self.photograph(), context.clone());
        let developed = move |image: Arc<ColorImage>| {
            photograph.settle(write(&path, &image));
            again.request_repaint();
        };
        let callback = ScreenshotCallback::new(developed);
        context.send_viewport_cmd(ViewportCommand::Screenshot(callback));
        context.request_repaint();
    }
}

/// Writes `image` to `path` as PNG.
fn write(path: &Path, image: &ColorImage) -> Result<(), String> {
    let fault =
        |fault: &dyn std::fmt::Display| format!("cannot write the picture: {fault}: {}", path.display());
    let file = File::create(path).map_err(|words| fault(&words))?;
    let [width, height] = image.size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(|words| fault(&words))?;
    let opaque = |pixel: &egui::Color32| [pixel.r(), pixel.g(), pixel.b()];
    let bytes: Vec<u8> = image.pixels.iter().flat_map(opaque).collect();
    writer.write_image_data(&bytes).map_err(|words| fault(&words))?;
    writer.finish().map_err(|words| fault(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_written_whole_and_a_folder_that_is_not_there_is_said() {
        let image = ColorImage::filled([3, 2], egui::Color32::from_rgb(10, 20, 30));
        let path = std::env::temp_dir().join(format!("orrery-picture-{}.png", std::process::id()));
        write(&path, &image).unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut bytes = vec![0; 3 * 2 * 3];
        reader.next_frame(&mut bytes).unwrap();
        assert_eq!((reader.info().width, reader.info().height), (3, 2));
        assert_eq!(bytes, [10, 20, 30].repeat(6));
        std::fs::remove_file(&path).unwrap();
        let fault = write(Path::new("no/such/folder/a.png"), &image).unwrap_err();
        assert!(fault.ends_with(": no/such/folder/a.png"), "{fault}");
    }

    #[test]
    fn a_window_closed_early_has_no_picture_and_the_first_outcome_counts() {
        let photograph = Photograph::default();
        assert!(photograph.outcome().is_err(), "nothing was taken");
        photograph.settle(Ok(()));
        photograph.settle(Err("late".to_owned()));
        assert_eq!(photograph.outcome(), Ok(()));
    }
}
