//! `record`: what the sources give, into a file that can be played again.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use orrery_telemetry::{Event, Origin, RecordingHeader, RecordingReader, RecordingWriter, read_line};
use orrery_units::{Dimension, SimDuration, parse_quantity};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::channel;

use super::{Exit, SourceArguments, invalid, log_to_stderr};
use crate::board::{LINES_PER_READER, text_of, wall_clock};
use crate::source::node_name;
use crate::{Daemon, Settings, SourceKind, StartError};

/// How often what was recorded is written out, so that a kill costs no more.
const FLUSH: Duration = Duration::from_secs(1);
/// A time that no recording takes.
const FOR_EVER: Duration = Duration::from_secs(100 * 366 * 86_400);

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// Where to write; a file that is there is not overwritten.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How long; until it is stopped, when nothing is said.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    duration: Option<Duration>,
    #[command(flatten)]
    source: SourceArguments,
}

/// What was recorded.
#[derive(Debug, Default)]
struct Tally {
    num_samples: u64,
    num_missed: u64,
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let words = |fault: String| format!("{fault}\nuse a time such as `10min`");
    let quantity = parse_quantity(text, Dimension::Time).map_err(|fault| words(fault.to_string()))?;
    if quantity.value > 0.0 && quantity.value <= FOR_EVER.as_secs_f64() {
        Ok(Duration::from_secs_f64(quantity.value))
    } else {
        Err(words("it is out of range".to_owned()))
    }
}

/// The time between two samples of a recording, if it is one.
pub(super) fn recorded_interval(path: &Path) -> Option<Duration> {
    let reader = RecordingReader::new(File::open(path).ok()?).ok()?;
    Some(Duration::from_secs_f64(reader.header().interval.as_secs()))
}

pub(super) fn record(arguments: RecordArguments) -> anyhow::Result<Exit> {
    log_to_stderr();
    let settings = arguments.source.settings(&[SourceKind::Nvml]);
    if let Err(fault) = settings.check() {
        return invalid(&fault);
    }
    let path = arguments.output;
    let file = match File::create_new(&path) {
        Ok(file) => file,
        Err(fault) => {
            writeln!(
                io::stderr(),
                "orrery-collector: `{}` cannot be made: {fault}\nname a file that is not there with `-o FILE`",
                path.display()
            )?;
            return Ok(Exit::Invalid);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let until = arguments.duration.unwrap_or(FOR_EVER);
    let (exit, tally) = runtime.block_on(record_into(file, &settings, until))?;
    if tally.num_samples == 0 {
        std::fs::remove_file(&path)?;
        writeln!(
            io::stderr(),
            "orrery-collector: no source gave a sample, and nothing was recorded\n`orrery-collector doctor` says what \
             to do"
        )?;
        return Ok(Exit::DataMissing);
    }
    let missed = match tally.num_missed {
        0 => String::new(),
        missed => format!("; {missed} lines were missed, the disk is too slow"),
    };
    writeln!(
        io::stderr(),
        "orrery-collector: {} samples in `{}`{missed}",
        tally.num_samples,
        path.display()
    )?;
    Ok(exit)
}

/// Records until it is over: how it ended, and what is in the file.
async fn record_into(file: File, settings: &Settings, until: Duration) -> anyhow::Result<(Exit, Tally)> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Thread)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Thread)?;
    let daemon = Daemon::start_without_server(settings)?;
    let (out, mut lines) = channel(LINES_PER_READER);
    let is_placed = daemon.board().subscribe(out);
    assert!(is_placed, "nobody else reads this board");
    let mut recorder = Recorder {
        state: State::Waiting(file, Vec::new()),
        interval: settings.interval,
        tally: Tally::default(),
    };
    let mut end = std::pin::pin!(tokio::time::sleep(until));
    let mut flush = tokio::time::interval(FLUSH);
    let exit = loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => recorder.take(text_of(&line))?,
                None => break Exit::Success,
            },
            _instant = flush.tick() => recorder.flush()?,
            () = &mut end => break Exit::Success,
            _received = interrupt.recv() => break Exit::Interrupted,
            _received = terminate.recv() => break Exit::Terminated,
        }
    };
    drop(daemon);
    let tally = recorder.finish()?;
    Ok((exit, tally))
}

/// Puts the lines of a stream into a file.
struct Recorder {
    state: State,
    interval: Duration,
    tally: Tally,
}

enum State {
    /// For the first sample, which says what the recording is of; with the lines before it.
    Waiting(File, Vec<String>),
    Writing(RecordingWriter<BufWriter<File>>),
    Ended,
}

impl Recorder {
    fn take(&mut self, line: &str) -> io::Result<()> {
        match read_line(line) {
            // A sign of life is none of the past.
            Ok(Event::Heartbeat(_)) | Err(_) => return Ok(()),
            Ok(Event::Sample(sample)) => {
                self.tally.num_samples += 1;
                self.begin(sample.origin)?;
            }
            Ok(Event::Missed(num)) => self.tally.num_missed += num,
            Ok(_) => {}
        }
        match &mut self.state {
            State::Waiting(_, before) => before.push(line.to_owned()),
            State::Writing(writer) => writer.write(line)?,
            State::Ended => {}
        }
        Ok(())
    }

    /// Writes the header and the lines before the first sample, if that is still to be done.
    fn begin(&mut self, origin: Origin) -> io::Result<()> {
        if !matches!(self.state, State::Waiting(..)) {
            return Ok(());
        }
        if let State::Waiting(file, before) = std::mem::replace(&mut self.state, State::Ended) {
            let interval = SimDuration::from_secs(self.interval.as_secs_f64());
            let header = RecordingHeader::new(&node_name(), origin, wall_clock(), interval);
            let mut writer = RecordingWriter::new(BufWriter::new(file), &header)?;
            before.iter().try_for_each(|line| writer.write(line))?;
            self.state = State::Writing(writer);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Writing(writer) => writer.flush(),
            State::Waiting(..) | State::Ended => Ok(()),
        }
    }

    fn finish(self) -> io::Result<Tally> {
        if let State::Writing(writer) = self.state {
            let file = writer
                .finish()?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
        }
        Ok(self.tally)
    }
}
