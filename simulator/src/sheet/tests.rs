//! Whatever one form of a sheet says, the others say.

use serde_json::{Value, json};

use super::{Sheet, Swing};

/// A run that has something to say in every section.
fn run() -> Value {
    json!({
        "scenario": "one.scenario.toml", "title": "A title", "model": "Some model", "cluster": "Some cluster",
        "layout": "tp 2", "verdict": "Matrix products limit the run.", "partial": "it was stopped",
        "hash": "0123456789abcdef", "seed": 7, "profile": "some-profile", "version": "1.2.3",
        "profile_sources": ["a paper", "another paper"], "currency": "EUR",
        "device": {"count": 16, "name": "H100", "power_limit_w": 700.0},
        "metrics": {
            "train.step_time.mean": 4.0, "train.step_time.p95": 4.5, "train.tokens_per_s.mean": 1e6,
            "train.mfu.mean": 0.44, "mem.hbm_peak.max": 6e10, "cost.per_day.mean": 1200.0,
        },
        "intervals": {"train.step_time.mean": [3.5, 4.25]},
        "waterfall": {"step_ps": 4_000_000_000_000_u64, "causes_ps": {"experts": 3_000_000_000_000_u64,
            "host": 1_000_000_000_000_u64}},
        "memory": {"capacity": 8e10, "stages": [
            {"stage": 0, "bytes": 6e10, "by_cause": {"weights": 2e10, "activations": 4e10}},
            {"stage": 1, "bytes": 5e10, "by_cause": {"weights": 2e10, "layer inputs": 3e10}},
        ]},
        "checks": [
            {"id": "fits", "check": "mem.hbm_peak.max <= 80 GiB", "pass": true, "verdict": "pass", "value": 6e10,
             "unit": "B", "why": "leaves room for the library"},
            {"id": "fast", "check": "train.mfu.mean >= 0.5", "pass": false, "verdict": "no_data"},
        ],
        "provenance": {"measured": 0.125, "interpolated": 0.625, "analytic": 0.25, "extrapolated": 0.0},
        "assumptions": [
            {"key": "parallel.cp", "value": "1", "reason": "nothing was said"},
            {"key": "cluster.node.nics", "value": "8", "reason": "one for each device"},
        ],
    })
}

fn sheet() -> Sheet {
    let mut sheet = Sheet::of(&run()).unwrap();
    sheet.memo = "Buy two nodes.\nBy May.".to_owned();
    sheet.waiting = "Rank 3 is waited for.".to_owned();
    sheet.swings = vec![
        Swing {
            label: "tensor cores".to_owned(),
            more: -0.062,
            less: 0.071,
        },
        Swing {
            label: "network".to_owned(),
            more: -0.01,
            less: 0.013,
        },
    ];
    sheet.swings_note = "change of the step, estimated; not network latency: there is one node".to_owned();
    sheet
}

/// Everything that a reader of `sheet` has to be told.
fn told(sheet: &Sheet) -> Vec<String> {
    let mut all = vec![
        sheet.title.clone(),
        sheet.mark().to_owned(),
        sheet.verdict.clone(),
        sheet.waiting.clone(),
        sheet.swings_note.clone(),
        "Partial results: it was stopped".to_owned(),
    ];
    all.extend(sheet.memo.lines().map(str::to_owned));
    all.extend(sheet.subject.iter().map(|(_, words)| words.clone()));
    for figure in &sheet.figures {
        all.extend([figure.label.clone(), figure.shown.clone()]);
    }
    for part in &sheet.causes {
        all.extend([part.label.clone(), part.words()]);
    }
    for stage in &sheet.memory {
        all.extend([
            stage.label.clone(),
            orrery_units::Bytes::from_f64(stage.bytes).to_string(),
        ]);
        all.extend(stage.parts.iter().map(|part| part.label.clone()));
        all.extend(stage.parts.iter().map(|part| part.shown.clone()));
    }
    all.push(orrery_units::Bytes::from_f64(sheet.capacity).to_string());
    for swing in &sheet.swings {
        all.push(swing.label.clone());
        all.extend([swing.more, swing.less].map(|share| format!("{:+.1} %", share * 100.0)));
    }
    for expected in &sheet.expected {
        all.extend([expected.id.clone(), expected.check.clone()]);
        all.extend([expected.found.clone(), expected.why.clone()]);
    }
    for (evidence, share) in &sheet.provenance {
        all.extend([evidence.clone(), super::percent(*share)]);
    }
    all.extend(sheet.origin.iter().map(|(_, words)| words.clone()));
    all.extend(sheet.assumptions.iter().flatten().cloned());
    all
}

/// The words of `text`, each a space from the next, in small letters, for a mark stands in capitals in a picture.
fn plain(text: &str) -> String {
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    let text = text.replace("&#39;", "'").replace("&amp;", "&").to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between tags.
fn between_tags(text: &str) -> String {
    let mut out = String::new();
    for piece in text.split('<') {
        out.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        out.push(' ');
    }
    plain(&out)
}

#[test]
fn every_form_says_everything() {
    let sheet = sheet();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.svg");
    sheet.write(&path).unwrap();
    let picture = std::fs::read_to_string(&path).unwrap();
    let page = sheet.html();
    let body = page.split_once("</style>").unwrap().1;
    let forms = [
        ("page", between_tags(body)),
        ("picture", between_tags(&picture)),
        ("table", plain(&sheet.csv())),
    ];
    let told = told(&sheet);
    assert_eq!(sheet.causes.len(), 2, "{:?}", sheet.causes);
    assert!(told.len() > 80, "{}", told.len());
    for (name, form) in forms {
        for words in &told {
            assert!(
                form.contains(&plain(words)),
                "the {name} does not say {words:?}: {form}"
            );
        }
    }
    let (page, table) = (between_tags(body), sheet.csv());
    assert!(page.contains("3.5 s … 4.25 s") && page.contains("80 % interval"));
    assert!(table.contains("figure,step,4,s,3.5,4.25,4 s"), "{table}");
}

#[test]
fn a_sheet_without_a_section_has_no_trace_of_it() {
    let sheet = Sheet {
        title: "bare".to_owned(),
        swings_note: "of nothing".to_owned(),
        capacity: 8e10,
        ..Sheet::default()
    };
    for form in [sheet.html(), sheet.csv()] {
        assert!(
            !form.contains("of nothing") && !form.contains("80 % interval"),
            "{form}"
        );
        assert!(!form.contains("memory of a device"), "{form}");
    }
}

#[test]
fn what_an_expectation_found_is_said_in_its_unit() {
    let sheet = sheet();
    let words: Vec<String> = sheet.expected.iter().map(|one| one.words()).collect();
    assert_eq!(
        words,
        ["found 55.9 GiB; leaves room for the library", "found no samples"]
    );
}

#[test]
fn every_form_is_written_into_folders_that_are_not_there_yet_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "no folder").unwrap();
    for ending in ["html", "png", "svg", "csv"] {
        let inside = folder.path().join(format!("new-{ending}"));
        let path = inside.join("sheet").with_extension(ending);
        sheet().write(&path).unwrap();
        assert!(path.metadata().unwrap().len() > 500, "{ending}");
        assert_eq!(
            inside.read_dir().unwrap().count(),
            1,
            "nothing else is left there"
        );
        let path = blocked.join("sheet").with_extension(ending);
        let why = sheet().write(&path).unwrap_err();
        assert!(
            why.contains("cannot write") && why.contains(&path.display().to_string()),
            "{why}"
        );
    }
}
