//! What a frame of the timeline costs, by number of spans and by zoom.
//!
//! `cargo run --release -p orrery-gui --example timeline_frames` lays out, paints and tessellates the panel
//! without a window, at 1440 x 900 points, and prints the median of many frames. No figure includes the
//! graphics driver. The lanes are busy nine tenths of the time with spans of very different lengths, so
//! that at any zoom some of them are drawn alone and some are merged.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Instant;

use egui::{Context, Event, Pos2, RawInput, Rect, vec2};
use orrery_gui::TimelineModel;
use orrery_timeline::{KindTable, OpClass, Span, TimelineBuilder};
use orrery_units::{Bytes, Evidence, Flops, Seed, SimDuration, SimTime};

const RANKS: u64 = 8;
const LANES: u64 = 4;
const FRAMES: usize = 60;
/// Shares of the whole timeline that are in view.
const ZOOMS: [(&str, f64); 3] = [("all", 1.0), ("1/30", 1.0 / 30.0), ("deep", 0.0)];

/// `spans` spans on 32 lanes, each kind on each lane, with lengths from 0.1 to 200 µs.
fn model(spans: u64) -> TimelineModel {
    let mut kinds = KindTable::new();
    let kind = |number: u64| {
        let class = OpClass::ALL[number as usize % OpClass::ALL.len()];
        (format!("{} {}", class.name(), number / 10), class)
    };
    let ids: Vec<_> = (0..30)
        .map(|number| {
            let (name, class) = kind(number);
            kinds.intern(&name, class)
        })
        .collect();
    let mut builder = TimelineBuilder::new(kinds, usize::MAX);
    let seed = Seed::new(1);
    let each = spans / (RANKS * LANES);
    for lane in 0..RANKS * LANES {
        let id = builder.add_lane(
            &format!("rank {}", lane / LANES),
            &format!("lane {}", lane % LANES),
        );
        let mut now = 0_u64;
        for number in 0..each {
            let key = seed.at("span", &[lane, number]);
            // Log-uniform over eleven octaves, from 100 ns on.
            let length = 100_000 << (key.with(0).uniform() * 11.0) as u64;
            let kind = (key.with(1).uniform() * ids.len() as f64) as usize;
            builder.add(Span {
                lane: id,
                kind: ids[kind],
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

/// What one frame took, in milliseconds: layout and paint, then tessellation; and its triangles.
#[derive(Clone, Copy, Default)]
struct Frame {
    paint: f64,
    tessellate: f64,
    triangles: usize,
}

/// The median frame of `model` with `length` of it in view, beginning at `from`; the pointer moves.
fn frame(model: &Arc<TimelineModel>, from: f64, length: f64) -> Frame {
    let context = Context::default();
    let mut panel = model.panel(from, length);
    let mut frames = Vec::new();
    for number in 0..FRAMES {
        let pointer = Pos2::new(300.0 + number as f32 * 7.0, 300.0 + number as f32 * 3.0);
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(1440.0, 900.0))),
            time: Some(number as f64 / 60.0),
            events: vec![Event::PointerMoved(pointer)],
            ..RawInput::default()
        };
        let began = Instant::now();
        let output = context.run_ui(input, &mut panel);
        let painted = began.elapsed();
        let meshes = context.tessellate(output.shapes, output.pixels_per_point);
        let done = began.elapsed();
        let triangles = meshes.iter().map(|mesh| match &mesh.primitive {
            egui::epaint::Primitive::Mesh(mesh) => mesh.indices.len() / 3,
            egui::epaint::Primitive::Callback(_) => 0,
        });
        frames.push(Frame {
            paint: painted.as_secs_f64() * 1e3,
            tessellate: (done - painted).as_secs_f64() * 1e3,
            triangles: triangles.sum(),
        });
    }
    // The first frames build fonts and lay out texts.
    frames.drain(..FRAMES / 4);
    frames.sort_by(|one, other| (one.paint + one.tessellate).total_cmp(&(other.paint + other.tessellate)));
    frames[frames.len() / 2]
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>9}  {:>5}  {:>9}  {:>10}  {:>9}  {:>9}  {:>8}",
        "spans", "view", "layout+", "tessellate", "frame", "triangles", "to first"
    )?;
    let mut first = [0.0; ZOOMS.len()];
    for spans in [1_000, 10_000, 100_000, 1_000_000] {
        let built = Instant::now();
        let model = Arc::new(model(spans));
        let built = built.elapsed().as_secs_f64() * 1e3;
        for (number, (name, length)) in ZOOMS.into_iter().enumerate() {
            // Deep is a hundred spans of a lane or so.
            let length = if length > 0.0 {
                length
            } else {
                (3_200.0 / spans as f64).min(1.0) / 10.0
            };
            let frame = frame(&model, 0.4 * (1.0 - length), length);
            let whole = frame.paint + frame.tessellate;
            if spans == 1_000 {
                first[number] = whole;
            }
            writeln!(
                out,
                "{spans:>9}  {name:>5}  {:>6.2} ms  {:>7.2} ms  {whole:>6.2} ms  {:>9}  {:>8.2}",
                frame.paint,
                frame.tessellate,
                frame.triangles,
                whole / first[number]
            )?;
        }
        writeln!(out, "{spans:>9}  built and arranged in {built:.0} ms")?;
    }
    Ok(())
}
