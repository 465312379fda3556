//! Fits the profiles that ship from the published measurements in tests/truth, and writes them.
//!
//! `cargo run -p orrery-profile --example fit_published [ROOT]`: reads `ROOT/tests/truth`, writes
//! `ROOT/scenarios/profiles`, and prints each curve with its residuals. Deterministic: the same tables give the
//! same files to the byte, and a test holds the shipped files to that.

mod published;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
    let root = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| default.to_owned()));
    let mut out = std::io::stdout().lock();
    let folder = root.join("scenarios/profiles");
    fs::create_dir_all(&folder)?;
    for profile in published::profiles(&root.join("tests/truth"))? {
        writeln!(out, "{}", profile.name)?;
        for curve in &profile.kernels {
            writeln!(
                out,
                "  {:<19} {:<5} {:<28} rows {:>4}  MAPE {:>5.1} %  spread {:.3}  {:?}",
                curve.op.name(),
                curve.precision.map_or("any", |p| p.name()),
                curve.kernel_source,
                curve.fitted.rows,
                curve.fitted.mape * 100.0,
                curve.fitted.spread,
                curve.law,
            )?;
        }
        for curve in &profile.collectives {
            writeln!(
                out,
                "  {:<19} {}x{}  rows {:>3}  MAPE {:>5.1} %  a {} d {} s1 {} B {}",
                curve.op.name(),
                curve.nodes,
                curve.ranks_per_node,
                curve.fitted.rows,
                curve.fitted.mape * 100.0,
                curve.law.latency_picos,
                curve.law.fill_picos,
                curve.law.fill_bytes,
                curve.law.bandwidth,
            )?;
        }
        for curve in &profile.exchanges {
            writeln!(
                out,
                "  exchange {:<10} network {} node {} rows {} MAPE {:.1} %",
                curve.library,
                curve.network_efficiency,
                curve.node_efficiency,
                curve.fitted.rows,
                curve.fitted.mape * 100.0,
            )?;
        }
        let name = format!("{}.profile.json", profile.name);
        fs::write(folder.join(name), profile.to_json())?;
    }
    Ok(())
}
