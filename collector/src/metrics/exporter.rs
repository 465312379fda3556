//! The pages of metrics, written once for all who ask while nothing has changed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::accept::Format;
use super::dcgm::{self, HostnameLabel};
use super::{plain, render};
use crate::Board;
use crate::board::Stamp;

/// How long a page may be given out while nothing changes: what is not on the board may have.
const LONGEST: Duration = Duration::from_secs(1);

/// A page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Everything, under our names.
    Own(Format),
    /// The readings of devices under the names of DCGM.
    Dcgm,
}

/// Writes pages, and remembers the last of each.
#[derive(Debug)]
pub(crate) struct Exporter {
    board: Arc<Board>,
    hostname: HostnameLabel,
    written: Mutex<Vec<Written>>,
}

#[derive(Debug)]
struct Written {
    page: Page,
    stamp: Stamp,
    at: Instant,
    text: Bytes,
}

impl Exporter {
    pub(crate) fn new(board: Arc<Board>, hostname: HostnameLabel) -> Self {
        Self {
            board,
            hostname,
            written: Mutex::default(),
        }
    }

    /// The text of `page` now. Scrapers that come together share one.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub(crate) fn text(&self, page: Page) -> Result<Bytes, fmt::Error> {
        let now = Instant::now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the text: what changes while it is written makes the next one new.
        let stamp = self.board.stamp(now);
        let is_new = |last: &Written| last.stamp == stamp && now.duration_since(last.at) < LONGEST;
        let last = written.iter().find(|last| last.page == page);
        if let Some(last) = last.filter(|last| is_new(last)) {
            return Ok(last.text.clone());
        }
        let text = Bytes::from(self.write(page)?);
        written.retain(|last| last.page != page);
        written.push(Written {
            page,
            stamp,
            at: now,
            text: text.clone(),
        });
        Ok(text)
    }

    fn write(&self, page: Page) -> Result<String, fmt::Error> {
        match page {
            Page::Own(Format::OpenMetrics) => render(&self.board),
            Page::Own(Format::Plain) => Ok(plain::from_open_metrics(&render(&self.board)?)),
            Page::Dcgm => Ok(dcgm::render(&self.board.snapshot().samples, self.hostname)),
        }
    }
}
