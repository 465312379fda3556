//! The files of rules and jobs: TOML; an unknown key is an error with the one that was meant.

use std::fmt;
use std::path::{Path, PathBuf};

use orrery_telemetry::judge::Rules;
use orrery_telemetry::trainer::Description;
use serde::Deserialize;
use thiserror::Error;

use super::Followed;

/// Names that are less alike than this are no suggestion: a third of the letters may differ.
const ALIKE: f64 = 0.6;

/// A fault in a file, as compilers tell one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct FileFault {
    /// The file.
    pub path: PathBuf,
    /// Line and column, counted from 1, where the fault has a place.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What was meant, if that can be guessed.
    pub suggestion: Option<String>,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(meant) => write!(f, "\n  = help: did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// A file of jobs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    /// The jobs, each as `[[job]]`.
    #[serde(default)]
    job: Vec<JobEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobEntry {
    /// Its name.
    name: String,
    /// Its log, of Megatron-LM or torchtitan; none where it writes to the socket.
    log: Option<PathBuf>,
    /// Whether the log is read from its beginning instead of from its end.
    #[serde(default)]
    from_start: bool,
    /// What it trains, and on what.
    #[serde(default)]
    description: Description,
}

/// The rules in `text`, which stands in `path`.
pub(super) fn rules(path: &Path, text: &str) -> Result<Rules, FileFault> {
    let rules: Rules = parse(path, text)?;
    let wrong = |fault: orrery_telemetry::judge::RulesError| {
        let key = text
            .lines()
            .position(|line| line.trim_start().starts_with(&fault.name));
        FileFault {
            path: path.to_owned(),
            place: key.map(|line| (line + 1, 1)),
            message: fault.to_string(),
            suggestion: None,
        }
    };
    rules.check().map_err(wrong)?;
    Ok(rules)
}

/// The jobs in `text`, which stands in `path`; a log's path counts from the file's folder.
pub(super) fn jobs(path: &Path, text: &str) -> Result<Vec<Followed>, FileFault> {
    let file: JobFile = parse(path, text)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut jobs: Vec<Followed> = Vec::new();
    for entry in file.job {
        if jobs.iter().any(|job| job.name == entry.name) {
            return Err(FileFault {
                path: path.to_owned(),
                place: None,
                message: format!(
                    "two jobs are called `{}`\ngive each a name of its own",
                    entry.name
                ),
                suggestion: None,
            });
        }
        jobs.push(Followed {
            name: entry.name,
            log: entry.log.map(|log| folder.join(log)),
            from_start: entry.from_start,
            description: entry.description,
        });
    }
    Ok(jobs)
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, FileFault> {
    toml::from_str(text).map_err(|fault| {
        let message = fault.message().to_owned();
        FileFault {
            path: path.to_owned(),
            place: fault.span().map(|span| place_of(text, span.start)),
            suggestion: suggestion(&message),
            message,
        }
    })
}

/// Line and column of a place in `text`.
fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[begin..].chars().count() + 1)
}

/// What was meant by the unknown name of which `message` tells, with those that are known.
fn suggestion(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().filter(|_| message.starts_with("unknown "))?;
    // Letters that changed places count as one: `lgo` is `log`.
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(name, unknown);
    let nearest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(nearest) >= ALIKE).then(|| nearest.to_owned())
}

#[cfg(test)]
mod tests {
    use orrery_telemetry::judge::{Preset, Rule};

    use super::*;

    fn rules_of(text: &str) -> Result<Rules, String> {
        rules(Path::new("rules.toml"), text).map_err(|fault| fault.to_string())
    }

    #[test]
    fn rules_are_read() {
        let text = "presets = [\"article-kpi\"]\noff = [\"power-cap\"]\n[thresholds]\njob_slow = 0.8\nhang_after = \"5 min\"\n\
                    [hysteresis.clock-low]\nraise_after = 1\nraise_over = \"0 s\"\nclear_after = 2\nclear_over = \"10 s\"\n";
        let rules = rules_of(text).unwrap();
        assert!(rules.presets.contains(&Preset::ArticleKpi) && !rules.is_on(Rule::PowerCap));
        assert!((rules.thresholds.job_slow.get() - 0.8).abs() < 1e-12);
        assert!((rules.thresholds.hang_after.as_secs() - 300.0).abs() < 1e-9);
        assert_eq!(rules.hysteresis_of(Rule::ClockLow).raise_after, 1);
        assert_eq!(rules_of(""), Ok(Rules::default()));
    }

    #[test]
    fn the_example_of_rules_is_the_defaults_and_that_of_jobs_is_a_job() {
        let mut rules = rules(
            Path::new("collector/deploy/rules.toml"),
            include_str!("../../deploy/rules.toml"),
        )
        .unwrap();
        for (rule, own) in std::mem::take(&mut rules.hysteresis) {
            assert_eq!(own, rules.hysteresis_of(rule), "{rule}");
        }
        assert_eq!(rules, Rules::default());
        let path = Path::new("collector/deploy/jobs.toml");
        let found = jobs(path, include_str!("../../deploy/jobs.toml")).unwrap();
        assert!(found[0].description.model.is_some());
    }

    #[test]
    fn a_fault_has_a_place_and_a_suggestion() {
        for (text, words) in [
            (
                "[thresholds]\njob_slwo = 0.8\n",
                "rules.toml:2:1: unknown field `job_slwo`, expected one of",
            ),
            ("[thresholds]\njob_slwo = 0.8\n", "did you mean `job_slow`?"),
            ("off = [\"clock-lo\"]\n", "did you mean `clock-low`?"),
            ("preset = []\n", "did you mean `presets`?"),
            ("[hysteresis.clock_low]\n", "did you mean `clock-low`?"),
            (
                "[thresholds]\nhang_after = \"5\"\n",
                "rules.toml:2:14: `5` needs a unit",
            ),
            (
                "[thresholds]\nstraggler = -0.1\n",
                "rules.toml:2:1: threshold `straggler` is -0.1",
            ),
            ("thresholds = 5\n", "rules.toml:1:14: "),
            ("[thresh", "rules.toml:1:"),
        ] {
            let fault = rules_of(text).unwrap_err();
            assert!(fault.contains(words), "{text:?}: {fault}");
        }
    }

    #[test]
    fn jobs_are_read_and_their_logs_lie_beside_the_file() {
        let text = "[[job]]\nname = \"pretrain\"\nlog = \"train.log\"\n[job.description]\ngpus = 16\npeak = \"989 TFLOP/s\"\n\
                    sequence_length = 8192\n[job.description.model]\nlayers = 32\nhidden = 4096\nheads = 32\n\
                    feed_forward = 14336\nvocabulary = 128256\n";
        let found = jobs(Path::new("/etc/orrery/jobs.toml"), text).unwrap();
        assert_eq!(found[0].log.as_deref(), Some(Path::new("/etc/orrery/train.log")));
        assert_eq!(found[0].description.gpus, Some(16));
        let twice = jobs(
            Path::new("jobs.toml"),
            "[[job]]\nname = \"a\"\n[[job]]\nname = \"a\"\n",
        )
        .unwrap_err();
        assert!(twice.to_string().contains("two jobs are called `a`"), "{twice}");
        let fault = jobs(Path::new("jobs.toml"), "[[job]]\nname = \"a\"\nlgo = \"b\"\n").unwrap_err();
        assert!(fault.to_string().contains("did you mean `log`?"), "{fault}");
    }
}
