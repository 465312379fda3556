//! What `serve` is told about its local history.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use orrery_units::{Dimension, parse_quantity};

use crate::{Retention, StoreSettings};

/// What `--data-dir` without a folder stands for, on the command line.
const USUAL: &str = "default";
/// The folder of a service that runs as root.
const SERVICE_FOLDER: &str = "/var/lib/orrery-collector";

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// The folder of what is kept: the local history, a certificate that was made. A service has one from systemd;
    /// without a folder it is `/var/lib/orrery-collector` for root, else `orrery-collector` in `$XDG_STATE_HOME` or
    /// `~/.local/state`.
    #[arg(long, value_name = "DIR", env = "STATE_DIRECTORY", num_args = 0..=1, default_missing_value = USUAL)]
    data_dir: Option<PathBuf>,
    /// A sample is on the disk within this time after it was taken.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_flush, requires = "data_dir")]
    flush_interval: Duration,
    /// How long every value is kept.
    #[arg(long, value_name = "TIME", default_value = "2d", value_parser = parse_age, requires = "data_dir")]
    keep_raw: Duration,
    /// How long the least, mean and largest of every 10 s are kept.
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = parse_age, requires = "data_dir")]
    keep_10s: Duration,
    /// How long the least, mean and largest of every 5 min are kept.
    #[arg(long, value_name = "TIME", default_value = "400d", value_parser = parse_age, requires = "data_dir")]
    keep_5min: Duration,
    /// How large the history may become; then the oldest goes, every value before 10 s, 10 s before 5 min.
    #[arg(long, value_name = "SIZE", default_value = "1 GiB", value_parser = parse_size, requires = "data_dir")]
    max_size: u64,
}

impl HistoryArguments {
    /// The folder of what is kept, if anything is.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let folder = self.data_dir.clone()?;
        Some(if folder.as_os_str() == USUAL {
            usual_folder()
        } else {
            folder
        })
    }

    /// The settings, if a history is to be kept.
    pub(super) fn settings(&self) -> Option<StoreSettings> {
        Some(StoreSettings {
            folder: self.folder()?,
            flush_interval: self.flush_interval,
            retention: Retention {
                raw: self.keep_raw,
                ten_seconds: self.keep_10s,
                five_minutes: self.keep_5min,
                max_bytes: self.max_size,
            },
        })
    }
}

/// Where the history is kept when nobody says where.
fn usual_folder() -> PathBuf {
    let named = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if crate::source::is_root() {
        return SERVICE_FOLDER.into();
    }
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    state.map_or_else(|| SERVICE_FOLDER.into(), |state| state.join("orrery-collector"))
}

fn parse_flush(text: &str) -> Result<Duration, String> {
    parse_time(text, 0.1, 600.0)
        .map_err(|fault| format!("{fault}\nuse a time between 100 ms and 10 min, such as `5s`"))
}

fn parse_age(text: &str) -> Result<Duration, String> {
    let most = 100.0 * 366.0 * 86_400.0;
    parse_time(text, 3600.0, most)
        .map_err(|fault| format!("{fault}\nuse a time of 1 h or more, such as `2d`"))
}

fn parse_time(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    let quantity = parse_quantity(text, Dimension::Time).map_err(|fault| fault.to_string())?;
    if (least..=most).contains(&quantity.value) {
        Ok(Duration::from_secs_f64(quantity.value))
    } else {
        Err("it is out of range".to_owned())
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let words = |fault: String| format!("{fault}\nuse a size of 16 MiB or more, such as `1 GiB`");
    let quantity = parse_quantity(text, Dimension::Data).map_err(|fault| words(fault.to_string()))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of bytes in range"
    )]
    if (16.0 * 1_048_576.0..=1e15).contains(&quantity.value) {
        Ok(quantity.value as u64)
    } else {
        Err(words("it is out of range".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units_and_bounds() {
        assert_eq!(parse_flush("500 ms").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_age("2d").unwrap(), Duration::from_secs(172_800));
        assert_eq!(parse_size("100 MiB").unwrap(), 100 << 20);
        for (found, fix) in [
            (parse_flush("5").unwrap_err(), "`5s`"),
            (parse_flush("1 h").unwrap_err(), "10 min"),
            (parse_age("5 min").unwrap_err(), "1 h or more"),
            (parse_size("1 MiB").unwrap_err(), "16 MiB"),
        ] {
            assert!(found.contains(fix), "{found}");
        }
    }
}
