//! The pages of metrics, written once for all who ask while nothing has changed.

use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::accept::{Coding, Format};
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
    /// The text in gzip, once somebody asked for it.
    packed: Option<Bytes>,
}

impl Written {
    fn coded(&mut self, coding: Coding) -> Bytes {
        match coding {
            Coding::Identity => self.text.clone(),
            Coding::Gzip => self.packed.get_or_insert_with(|| pack(&self.text)).clone(),
        }
    }
}

/// `text` in gzip, quickly: labels repeat so much that more effort gains little.
fn pack(text: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    let packed = packer.write_all(text).and_then(|()| packer.finish());
    packed.expect("a vector takes every byte").into()
}

impl Exporter {
    pub(crate) fn new(board: Arc<Board>, hostname: HostnameLabel) -> Self {
        Self {
            board,
            hostname,
            written: Mutex::default(),
        }
    }

    /// The text of `page` now, in `coding`. Scrapers that come together share one.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub(crate) fn text(&self, page: Page, coding: Coding) -> Result<Bytes, fmt::Error> {
        let now = Instant::now();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the text: what changes while it is written makes the next one new.
        let stamp = self.board.stamp(now);
        let is_new = |last: &Written| last.stamp == stamp && now.duration_since(last.at) < LONGEST;
        let place = written.iter().position(|last| last.page == page);
        if let Some(last) = place.map(|place| &mut written[place]).filter(|last| is_new(last)) {
            return Ok(last.coded(coding));
        }
        let last = place.map(|place| written.swap_remove(place));
        let bytes = last.map_or(0, |last| last.text.len() + last.text.len() / 16);
        let mut page = Written {
            page,
            stamp,
            at: now,
            text: Bytes::from(self.write(page, bytes)?),
            packed: None,
        };
        let text = page.coded(coding);
        written.push(page);
        Ok(text)
    }

    /// The text of `page`, which may take `bytes`.
    fn write(&self, page: Page, bytes: usize) -> Result<String, fmt::Error> {
        match page {
            Page::Own(Format::OpenMetrics) => render(&self.board, bytes),
            Page::Own(Format::Plain) => Ok(plain::from_open_metrics(&render(&self.board, bytes)?)),
            Page::Dcgm => Ok(dcgm::render(&self.board.snapshot().samples, self.hostname)),
        }
    }
}
