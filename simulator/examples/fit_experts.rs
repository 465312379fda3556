//! Fits the times of experts of imbalanced layers and writes scenarios/experts/imbalanced.experts.json.
//!
//! `cargo run --release -p orrery --example fit_experts`, from the root of the source tree.

use std::io::Read as _;
use std::path::Path;

use orrery::balancing::ExpertLaws;
use orrery::validate::fit_imbalanced;

/// The tables.
const TABLES: [&str; 2] = [
    "tests/truth/aic_wideep_sglang_moe.csv.gz",
    "tests/truth/aic_wideep_moe_eplb.csv.gz",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut texts = Vec::new();
    for table in TABLES {
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(table)?).read_to_string(&mut text)?;
        texts.push(text);
    }
    let mut laws = fit_imbalanced(&texts)?;
    for law in &mut laws {
        for parameter in &mut law.parameters {
            // Four digits: the file is for people too.
            *parameter = format!("{parameter:.3e}").parse()?;
        }
        law.median_error = format!("{:.4}", law.median_error).parse()?;
    }
    let laws = ExpertLaws {
        schema: "experts/1".to_owned(),
        sources: TABLES.map(str::to_owned).to_vec(),
        laws,
    };
    let mut text = serde_json::to_string_pretty(&laws)?;
    text.push('\n');
    let path = Path::new("scenarios/experts/imbalanced.experts.json");
    std::fs::create_dir_all("scenarios/experts")?;
    std::fs::write(path, text)?;
    Ok(())
}
