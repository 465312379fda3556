//! What the window costs: frames of a million spans, of a hundred thousand cells, of a live fleet, and the longest frame
//! while long work goes on.
//!
//! `cargo run --release -p orrery-gui --example frames [timeline|experts|fleet|busy]` draws without a window, at 1440 x 900
//! points: logic, layout, paint and tessellation, all but the graphics driver. Each figure stands beside its bar.

#[path = "../../../simulator/crates/trace/examples/made/mod.rs"]
mod made;
mod stage;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, TouchPhase, vec2};
use orrery_collector::{Daemon, DemoSource, OpenSource, Settings, Source, SourceError};
use orrery_gui::{App, Arrangement, Scenario, Start, TimelineModel};
use orrery_telemetry::{DeviceIdentity, DeviceSample, Origin};
use orrery_timeline::{KindTable, OpClass, Span, TimelineBuilder};
use orrery_units::{Bytes, Evidence, Flops, Seed, SimDuration, SimTime};

use made::{Made, RANKS};
use stage::{Stage, Took, print};

const LANES: u64 = 512;
const SPANS: u64 = 1_000_000;
const FRAMES: usize = 120;
const NODES: u32 = 64;
const PER_NODE: u32 = 8;
const TRACE_BYTES: u64 = 500_000_000;
/// A run that goes on while frames are timed.
const LONG_RUN: &str = include_str!("../../../scenarios/training/deepseek-v3-2048-h800.scenario.toml");
/// A hundred layers of 1,024 experts.
const CELLS: &str = include_str!("cells.scenario.toml");

fn main() -> io::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("timeline") {
        timeline()?;
    }
    if is_wanted("experts") {
        experts()?;
    }
    if is_wanted("fleet") {
        fleet()?;
    }
    if is_wanted("busy") {
        busy()?;
    }
    Ok(())
}

/// A million spans of ten classes on 512 lanes of 128 ranks, with lengths from 0.1 to 200 µs.
fn spans() -> TimelineModel {
    let mut kinds = KindTable::new();
    let ids: Vec<_> = (0..30)
        .map(|number| {
            let class = OpClass::ALL[number % OpClass::ALL.len()];
            kinds.intern(&format!("{} {}", class.name(), number / 10), class)
        })
        .collect();
    let mut builder = TimelineBuilder::new(kinds, usize::MAX);
    let seed = Seed::new(1);
    for lane in 0..LANES {
        let id = builder.add_lane(&format!("rank {}", lane / 4), &format!("lane {}", lane % 4));
        let mut now = 0_u64;
        for number in 0..SPANS / LANES {
            let key = seed.at("span", &[lane, number]);
            // Log-uniform over eleven octaves, from 100 ns on.
            let length = 100_000 << (key.with(0).uniform() * 11.0) as u64;
            builder.add(Span {
                lane: id,
                kind: ids[(key.with(1).uniform() * ids.len() as f64) as usize],
                start: SimTime::from_picos(now),
                duration: SimDuration::from_picos(length),
                step: 0,
                tag: (0, 0),
                released_by: None,
                flops: Flops::ZERO,
                bytes: Bytes::new(length / 7),
                evidence: Evidence::Analytic,
            });
            now += length + length / 9;
        }
    }
    TimelineModel::new(builder.finish())
}

fn wheel(x: f32, y: f32, modifiers: Modifiers) -> Event {
    Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: vec2(x, y),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Unknown,
        modifiers,
    }
}

fn timeline() -> io::Result<()> {
    let model = Arc::new(spans());
    let mut panel = model.panel(0.0, 1.0);
    let mut stage = Stage::new();
    // Fonts are there before a timeline is: what is opened first is the window.
    let _fonts = stage.frame(Vec::new(), |ui| {
        ui.label("Orrery 0123456789 abcdefghijklmnopqrstuvwxyz");
    });
    let first = stage.frame(Vec::new(), &mut panel);
    let mut all = |events: &dyn Fn(usize) -> Vec<Event>| {
        let frames = (0..FRAMES).map(|number| stage.frame(events(number), &mut panel));
        Took::of(&frames.collect::<Vec<_>>())
    };
    let zoom = |number: usize| {
        let by = if number % 40 < 20 { 40.0 } else { -40.0 };
        vec![
            Event::PointerMoved(egui::pos2(700.0, 400.0)),
            wheel(0.0, by, Modifiers::COMMAND),
        ]
    };
    let zooming = all(&zoom);
    let pan = |number: usize| {
        let by = if number % 40 < 20 { 30.0 } else { -30.0 };
        vec![
            Event::PointerMoved(egui::pos2(700.0, 400.0)),
            wheel(by, by / 2.0, Modifiers::NONE),
        ]
    };
    let panning = all(&pan);
    let idle = all(&|_| Vec::new());
    let millis = first.wall.as_secs_f64() * 1e3;
    print(
        &format!("{SPANS} spans in {LANES} lanes: first view"),
        &format!("{millis:.1} ms"),
        "300 ms",
    )?;
    print("  zooming, a frame", &zooming.to_string(), "8 ms")?;
    print("  panning and scrolling, a frame", &panning.to_string(), "8 ms")?;
    print(
        "  drawn again with nothing changed",
        &idle.to_string(),
        "1 ms when idle, which draws nothing",
    )
}

/// The application on `start`, without a session.
fn app(stage: &Stage, start: Start) -> App {
    App::new(&stage.context, start)
}

fn experts() -> io::Result<()> {
    let mut stage = Stage::new();
    let mut app = app(
        &stage,
        Start {
            scenarios: vec![Scenario::new("cells.scenario.toml", CELLS)],
            run_at_once: true,
            arrangement: Some(Arrangement::Experts),
            ..Start::default()
        },
    );
    let began = Instant::now();
    while app.document().finished.is_none() && began.elapsed() < Duration::from_secs(300) {
        let _frame = stage.app_frame(&mut app, Vec::new());
        thread::sleep(Duration::from_millis(20));
    }
    let document = app.document();
    let model = document
        .finished
        .as_ref()
        .and_then(|finished| finished.experts.clone());
    let cells = model.map_or(0, |model| model.cells());
    for _ in 0..20 {
        let _warm = stage.app_frame(&mut app, Vec::new());
    }
    let moved = |number: usize| vec![Event::PointerMoved(egui::pos2(900.0 + number as f32, 500.0))];
    let frames = (0..FRAMES).map(|number| stage.app_frame(&mut app, moved(number)));
    let took = Took::of(&frames.collect::<Vec<_>>());
    print(
        &format!("{cells} cells of experts, the whole window, a frame"),
        &took.to_string(),
        "2 ms",
    )
}

/// Devices that are read at once.
struct Many(u32);

impl Source for Many {
    fn origin(&self) -> Origin {
        Origin::Fake
    }

    fn read(&mut self, sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        let mut demo = DemoSource::new(Seed::new(7));
        let eight = demo.read(sequence)?;
        let node = self.0;
        let devices = (0..PER_NODE).map(|index| {
            let mut device = eight[index as usize].clone();
            device.identity = DeviceIdentity {
                node: format!("node-{node:02}"),
                index,
                uuid: format!("GPU-{node}-{index}"),
                model: device.identity.model.clone(),
            };
            device
        });
        Ok(devices.collect())
    }
}

fn fleet() -> io::Result<()> {
    let settings = Settings {
        sources: Vec::new(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        ..Settings::default()
    };
    let mut daemons = Vec::new();
    for node in 0..NODES {
        let open: OpenSource = Box::new(move || Ok(Box::new(Many(node))));
        daemons.push(Daemon::start_with(&settings, vec![("many", open)]).map_err(io::Error::other)?);
    }
    let mut stage = Stage::new();
    let collectors = daemons
        .iter()
        .map(|daemon| format!("http://{}", daemon.address()));
    let mut app = app(
        &stage,
        Start {
            collectors: collectors.collect(),
            arrangement: Some(Arrangement::Observe),
            ..Start::default()
        },
    );
    let mut drawn = 0_u32;
    let mut spent = Duration::ZERO;
    let mut from = Instant::now();
    let began = Instant::now();
    let mut frames = Vec::new();
    while began.elapsed() < Duration::from_secs(20) {
        if stage.is_due() {
            let frame = stage.app_frame(&mut app, Vec::new());
            drawn += 1;
            spent += frame.wall;
            frames.push(frame);
        } else {
            thread::sleep(Duration::from_millis(2));
        }
        // Until all have spoken nothing is counted.
        if app.document().fleet.num_live() < (NODES * PER_NODE) as usize {
            (drawn, spent, from) = (0, Duration::ZERO, Instant::now());
            frames.clear();
        }
    }
    let elapsed = from.elapsed().as_secs_f64();
    let share = spent.as_secs_f64() / elapsed * 100.0;
    let live = app.document().fleet.num_live();
    let words = format!(
        "{share:.2} % of a core in {drawn} frames of {:.1} s; {}",
        elapsed,
        Took::of(&frames)
    );
    print(
        &format!("{live} devices of {NODES} nodes live at 1 Hz"),
        &words,
        "3 %",
    )
}

fn busy() -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("orrery-frames-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    for rank in 0..RANKS {
        let mut file = File::create(folder.join(format!("rank{rank}.json")))?;
        let _bytes = io::copy(&mut Made::new(rank, TRACE_BYTES / RANKS), &mut file)?;
    }
    let mut stage = Stage::new();
    let mut app = app(
        &stage,
        Start {
            scenarios: vec![Scenario::new("long.scenario.toml", LONG_RUN)],
            run_at_once: true,
            runs: vec![folder.display().to_string()],
            // Nobody listens on this one.
            collectors: vec!["http://127.0.0.1:9".to_owned()],
            ..Start::default()
        },
    );
    let (mut frames, mut opened, mut stopped) = (Vec::new(), None, None);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let asked = (began.elapsed() > Duration::from_secs(30) && stopped.is_none()).then(Instant::now);
        let events = asked.map_or_else(Vec::new, |_| vec![key(Key::Escape)]);
        frames.push(stage.app_frame(&mut app, events));
        stopped = stopped.or(asked.map(|at| (at, None)));
        let document = app.document();
        if opened.is_none() && !document.runs.kept.is_empty() {
            opened = Some(began.elapsed());
        }
        if let Some((at, over @ None)) = &mut stopped
            && document.running.is_none()
        {
            *over = Some(at.elapsed());
        }
        thread::sleep(Duration::from_millis(12));
    }
    std::fs::remove_dir_all(&folder)?;
    let opened = opened.map_or("not yet".to_owned(), |after| {
        format!("after {:.1} s", after.as_secs_f64())
    });
    let stopped = stopped.and_then(|(_, over)| over);
    let stopped = stopped.map_or("had ended".to_owned(), |after| {
        format!("{:.0} ms", after.as_secs_f64() * 1e3)
    });
    print(
        "a simulation, a dead collector and 500 MB of traces: a frame",
        &Took::of(&frames).to_string(),
        "none is long",
    )?;
    print("  the traces were open", &opened, "")?;
    print("  the run was over after Escape", &stopped, "100 ms")
}

fn key(key: Key) -> Event {
    Event::Key {
        key,
        physical_key: None,
        pressed: true,
        repeat: false,
        modifiers: Modifiers::NONE,
    }
}
