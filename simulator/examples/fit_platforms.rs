//! Fits the law of every platform to the sweeps in tests/truth/nccl and writes scenarios/platforms.
//!
//! `cargo run --release -p orrery --example fit_platforms [FOLDER]`; the committed file must come out byte for byte.

use std::path::Path;

use orrery::{files, validate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| root.join("tests/truth/nccl"), Into::into);
    let platforms = validate::fit_platforms(&folder)?;
    let text = format!("{}\n", serde_json::to_string_pretty(&platforms)?);
    files::write(
        &root.join("scenarios/platforms/nccl.platforms.json"),
        text.as_bytes(),
    )?;
    Ok(())
}
