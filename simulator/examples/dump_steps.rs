//! scratch
use std::io::Read as _;
use orrery_workload::estimate::{Parts, Pass};
fn pass(p: &Pass) -> String {
    format!("{{\"k\":{:?},\"launch\":{},\"tensor\":{},\"exchange\":{},\"shards\":{}}}",
        p.kernel.spent.map(|s| s.as_secs()), p.kernel.launches, p.tensor.as_secs(), p.exchange.as_secs(), p.shards.as_secs())
}
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let body: Vec<&str> = text.lines().filter(|l| !l.trim_start_matches('"').starts_with('#')).collect();
    let body = body.join("\n");
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body.as_bytes());
    let headers = reader.headers().unwrap().clone();
    for record in reader.records() {
        let record = record.unwrap();
        let row: std::collections::BTreeMap<String,String> = headers.iter().zip(&record).map(|(a,b)| (a.to_owned(), b.to_owned())).collect();
        match orrery::validate::measured_step(&row) {
            Err(e) => println!("{{\"id\":{:?},\"skip\":{:?}}}", row["id"], e),
            Ok(step) => {
                let parts = Parts::of(&step.plan);
                let ranks: Vec<String> = parts.ranks.iter().map(|r| format!("{{\"f\":{},\"b\":{},\"reduce\":{},\"gather\":{},\"update\":{},\"routed\":{}}}", pass(&r.forward), pass(&r.backward), r.reduce.as_secs(), r.gather.as_secs(), r.update.alone.as_secs(), r.routed)).collect();
                println!("{{\"id\":{:?},\"measured\":{},\"m\":{},\"pp\":{},\"chunks\":{},\"tp\":{},\"cp\":{},\"dp\":{},\"ep\":{},\"world\":{},\"hop\":{},\"barrier\":{},\"tied\":{},\"ranks\":[{}]}}", row["id"], step.measured, step.plan.training.num_microbatches, step.plan.layout.pp, step.plan.layout.schedule.chunks, step.plan.layout.tp, step.plan.layout.cp, step.plan.layout.dp, step.plan.layout.ep, step.plan.layout.world(), parts.hop.as_secs(), parts.barrier.as_secs(), parts.tied.as_secs(), ranks.join(","));
            }
        }
    }
}
