//! Rows of the tables into calls.

use std::collections::BTreeMap;

use orrery_operation::Precision;
use orrery_profile::library::{
    LibraryContext, LibraryExperts, LibraryGemm, LibraryGeneration, Peaks, Widths,
};
use orrery_scenario::catalog::{hardware, hardware_csv};
use orrery_units::Bytes;

use super::load::{Dealing, GROUPS, Routing, fullest};
use super::{Call, Class, Entry, Known};
use crate::validate::table::{self, Table, field, number};

type Cells = BTreeMap<String, String>;

/// Columns of tables of one kind of kernel each.
const GEMM: [&str; 6] = ["system", "gemm_dtype", "m", "n", "k", "latency_ms"];
const ATTENTION: [&str; 5] = [
    "system",
    "phase",
    "attn_dtype",
    "num_key_value_heads",
    "latency_ms",
];
const LATENT: [&str; 5] = ["system", "phase", "mla_dtype", "num_heads", "latency_ms"];
const EXPERTS: [&str; 5] = ["system", "moe_dtype", "inter_size", "moe_ep_size", "latency_ms"];
/// Columns of tables of several kinds.
const MIXED: [&str; 6] = ["gpu", "op", "impl", "dtype", "seq_kv", "time_us"];

/// Releases that gate within the call that is timed.
const LIMITED: [&str; 2] = ["sglang 0.5.14", "vllm"];

/// The mode of TensorRT-LLM whose calls gate, as DeepSeek-V3 does whatever the model.
const MIN_LATENCY: &str = "moe_torch_flow_min_latency";

/// The kernel that a collector calls by itself with a rank's part of the tokens.
const CUT_OUT: &str = " sglang_fused_moe_triton";

/// The library whose kernel for one new token depends on how many heads share keys.
const BY_GROUP: &str = "trtllm";

/// What a table is read with.
struct Reader {
    devices: BTreeMap<(String, String), Result<(String, Peaks), String>>,
    routings: BTreeMap<[u64; 6], orrery_profile::library::LocalLoad>,
    caches: BTreeMap<String, Bytes>,
}

/// How a row becomes a call.
type ReadRow = fn(&mut Reader, &Cells) -> Result<Known, String>;

/// Whether `table` has the columns of kernels.
pub(super) fn is_one(table: &Table) -> bool {
    reading(table).is_some()
}

/// How the rows of `table` are read; none when it has none of the columns.
fn reading(table: &Table) -> Option<ReadRow> {
    let kinds: [(&[&str], ReadRow); 5] = [
        (&GEMM, gemm),
        (&ATTENTION, attention),
        (&LATENT, latent),
        (&EXPERTS, experts),
        (&MIXED, mixed),
    ];
    kinds
        .into_iter()
        .find(|(columns, _)| table.has(columns))
        .map(|(_, read)| read)
}

/// The rows of `table`; none when it has none of the columns.
pub(super) fn entries(table: &Table, name: &str) -> Option<Vec<Entry>> {
    let read = reading(table)?;
    let mut reader = Reader {
        devices: BTreeMap::new(),
        routings: BTreeMap::new(),
        caches: caches(),
    };
    let entry = |(at, cells): (usize, &Cells)| {
        let id = field(cells, "id");
        let row = if id.is_empty() {
            (at + 1).to_string()
        } else {
            id.to_owned()
        };
        Entry {
            id: format!("{name}/{row}"),
            known: read(&mut reader, cells),
        }
    };
    Some(table.rows.iter().enumerate().map(entry).collect())
}

/// The last level of cache of each device of the catalogue.
fn caches() -> BTreeMap<String, Bytes> {
    let rows = table::parse(hardware_csv())
        .map(|table| table.rows)
        .unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            Some((
                field(row, "gpu").to_owned(),
                Bytes::from_f64(number(row, "l2_MB")? * 1e6),
            ))
        })
        .collect()
}

impl Reader {
    /// Catalogue name and data sheet of a device for a format.
    fn device(&mut self, name: &str, format: &str) -> Result<(String, Peaks), String> {
        let key = (name.to_owned(), format.to_owned());
        if let Some(found) = self.devices.get(&key) {
            return found.clone();
        }
        let found = self.look_up(name, format);
        self.devices.insert(key, found.clone());
        found
    }

    fn look_up(&self, name: &str, format: &str) -> Result<(String, Peaks), String> {
        let precision = match format {
            "bfloat16" => Precision::Bf16,
            "float16" => Precision::Fp16,
            "fp8" | "fp8_block" => Precision::Fp8,
            "nvfp4" => Precision::Fp4,
            _ => return Err(format!("`{format}` is no format of the law")),
        };
        let device = hardware(name)
            .map_err(|_names| format!("`{name}` is not in the catalogue"))?
            .device;
        let rate = device.peaks.iter().find(|(of, _)| *of == precision);
        let rate = rate
            .ok_or_else(|| format!("{} has no peak for {format}", device.name))?
            .1;
        let cache = self.caches.get(&device.name).copied();
        let peaks = Peaks {
            rate,
            bandwidth: device.memory_bandwidth,
            num_units: device.num_units,
            cache: cache.ok_or_else(|| format!("{} has no known cache", device.name))?,
        };
        Ok((device.name, peaks))
    }
}

/// A whole number.
fn whole(cells: &Cells, column: &str) -> Result<u32, String> {
    field(cells, column)
        .trim()
        .parse()
        .map_err(|_not_a_number| format!("no `{column}`"))
}

fn widths(format: &str) -> Result<Widths, String> {
    Widths::named(format).ok_or_else(|| format!("`{format}` is no format of the law"))
}

/// Release and library: `trtllm 1.3 torch_flow`, and the same without the version.
fn names(cells: &Cells) -> (String, String) {
    let [framework, version, source] =
        ["framework", "version", "kernel_source"].map(|column| field(cells, column).to_ascii_lowercase());
    (
        format!("{framework} {version} {source}"),
        format!("{framework} {source}"),
    )
}

/// The same of a table that has them in one cell.
fn split(implementation: &str) -> (String, String) {
    let release = implementation.to_ascii_lowercase();
    let words = release.split_whitespace();
    let library: Vec<&str> = words
        .filter(|word| !word.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    let library = library.join(" ");
    (release, library)
}

/// Seconds that were measured.
fn seconds(cells: &Cells, column: &str, unit: f64) -> Result<f64, String> {
    number(cells, column)
        .filter(|time| *time > 0.0)
        .map(|time| time * unit)
        .ok_or_else(|| format!("no `{column}`"))
}

fn gemm(reader: &mut Reader, cells: &Cells) -> Result<Known, String> {
    let format = field(cells, "gemm_dtype");
    let measured = seconds(cells, "latency_ms", 1e-3)?;
    product(
        reader,
        cells,
        (field(cells, "system"), format),
        (names(cells), measured),
    )
}

fn product(
    reader: &mut Reader,
    cells: &Cells,
    (device, format): (&str, &str),
    ((release, library), measured): ((String, String), f64),
) -> Result<Known, String> {
    let (device, peaks) = reader.device(device, format)?;
    let shape = [whole(cells, "m")?, whole(cells, "n")?, whole(cells, "k")?];
    let [m, n, k] = shape;
    Ok(Known {
        class: Class::Gemm,
        device,
        release,
        library,
        formats: format.to_owned(),
        shape: format!("{n:>6} {k:>6}"),
        question: format!("m {m} n {n} k {k}"),
        call: Call::Gemm(Box::new(LibraryGemm::new(shape, widths(format)?, peaks))),
        measured,
    })
}

/// Sequences, tokens of a prompt or in the cache, heads, heads of keys.
struct Heads {
    generation: bool,
    sequences: u32,
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    /// Widths of a query and of a value head.
    dims: (u32, u32),
    absorbed: bool,
    kernel_by_group: bool,
}

impl Heads {
    fn call(&self, peaks: Peaks, operands: f64, cache: f64) -> Call {
        let (qk_dim, v_dim) = self.dims;
        let &Self {
            sequences,
            tokens,
            heads,
            kv_heads,
            absorbed,
            kernel_by_group,
            ..
        } = self;
        if self.generation {
            Call::Generation(LibraryGeneration {
                peaks,
                sequences,
                tokens,
                heads,
                kv_heads,
                qk_dim,
                v_dim,
                absorbed,
                kernel_by_group,
                width: cache,
            })
        } else {
            Call::Context(LibraryContext {
                peaks,
                sequences,
                tokens,
                heads,
                kv_heads,
                qk_dim,
                v_dim,
                width: operands,
            })
        }
    }

    fn question(&self) -> String {
        format!(
            "sequences {} tokens {} heads {} kv {} dim {}",
            self.sequences, self.tokens, self.heads, self.kv_heads, self.dims.0
        )
    }

    fn shape(&self) -> String {
        format!("{:>4} {:>4} {:>4}", self.heads, self.kv_heads, self.dims.0)
    }
}

/// A row of a table by phase, with the class of each.
fn by_phase(
    reader: &mut Reader,
    cells: &Cells,
    (format, heads): (&str, &Heads),
    class: (Class, Class),
) -> Result<Known, String> {
    let cached = field(cells, "kv_cache_dtype");
    let (device, peaks) = reader.device(field(cells, "system"), format)?;
    let call = heads.call(peaks, widths(format)?.activation, widths(cached)?.activation);
    let (release, library) = names(cells);
    Ok(Known {
        class: if heads.generation { class.1 } else { class.0 },
        device,
        release,
        library,
        formats: format!("{format}, cache {cached}"),
        shape: heads.shape(),
        question: heads.question(),
        call,
        measured: seconds(cells, "latency_ms", 1e-3)?,
    })
}

/// Whether a row is of one new token: its cache holds `step` tokens and the new one.
fn phase(cells: &Cells) -> Result<(bool, u32), String> {
    let tokens = whole(cells, "isl")?;
    match field(cells, "phase") {
        "context" if whole(cells, "step")? == 0 => Ok((false, tokens)),
        "context" => Err("a prompt after a cached prefix is no shape of the law".to_owned()),
        "generation" => Ok((true, tokens + whole(cells, "step")?)),
        other => Err(format!("`{other}` is no phase of the law")),
    }
}

fn attention(reader: &mut Reader, cells: &Cells) -> Result<Known, String> {
    let (generation, tokens) = phase(cells)?;
    let dim = whole(cells, "head_dim")?;
    let heads = Heads {
        generation,
        sequences: whole(cells, "batch_size")?,
        tokens,
        heads: whole(cells, "num_heads")?,
        kv_heads: whole(cells, "num_key_value_heads")?,
        dims: (dim, dim),
        absorbed: false,
        kernel_by_group: names(cells).1.starts_with(BY_GROUP),
    };
    let classes = (Class::AttentionContext, Class::AttentionGeneration);
    by_phase(reader, cells, (field(cells, "attn_dtype"), &heads), classes)
}

/// Latent attention of DeepSeek-V3: a prompt has keys of 192 and values of 128 per head; a token is compared with the
/// cache itself, 512 wide and 64 more for positions, that all heads share (DeepSeek-V2, §2.1).
fn latent(reader: &mut Reader, cells: &Cells) -> Result<Known, String> {
    let (generation, tokens) = phase(cells)?;
    let heads = whole(cells, "num_heads")?;
    let heads = Heads {
        generation,
        sequences: whole(cells, "batch_size")?,
        tokens,
        heads,
        kv_heads: if generation { 1 } else { heads },
        dims: if generation { (576, 512) } else { (192, 128) },
        absorbed: generation,
        kernel_by_group: false,
    };
    let classes = (Class::LatentContext, Class::LatentGeneration);
    by_phase(reader, cells, (field(cells, "mla_dtype"), &heads), classes)
}

fn experts(reader: &mut Reader, cells: &Cells) -> Result<Known, String> {
    if whole(cells, "moe_tp_size")? != 1 {
        return Err("experts split over ranks are no shape of the law".to_owned());
    }
    let skew = match field(cells, "distribution") {
        "balanced" => 0.0,
        other => other
            .strip_prefix("power_law_")
            .and_then(|exponent| exponent.parse().ok())
            .ok_or_else(|| format!("`{other}` is no distribution of the law"))?,
    };
    let layer = Layer {
        routing: Routing {
            tokens: whole(cells, "num_tokens")?,
            chosen: whole(cells, "topk")?,
            experts: whole(cells, "num_experts")?,
            ranks: whole(cells, "moe_ep_size")?,
            skew,
            dealing: Dealing::Own,
        },
        hidden: whole(cells, "hidden_size")?,
        inner: whole(cells, "inter_size")?,
    };
    let measured = seconds(cells, "latency_ms", 1e-3)?;
    let of = (field(cells, "system"), field(cells, "moe_dtype"));
    layer.known(reader, of, names(cells), measured)
}

/// A layer of experts.
struct Layer {
    routing: Routing,
    hidden: u32,
    inner: u32,
}

impl Layer {
    /// Whether the timed call gates, and takes groups of experts first: `SGLang` 0.5.14 and vLLM do for the layers of
    /// DeepSeek-V3, which their collectors know by its 256 experts of width 2048; TensorRT-LLM is given its choices, but
    /// in its mode of least latency gates every model as DeepSeek-V3 does (aiconfigurator, collector/trtllm/collect_moe.py
    /// at 095f58a), which changes nothing where a token takes fewer experts than there are groups taken.
    fn gates_by_group(&self, release: &str) -> bool {
        let deepseek = (self.hidden, self.inner, self.routing.experts) == (7168, 2048, 256);
        let by_library = deepseek && LIMITED.iter().any(|library| release.starts_with(library));
        by_library || (release.ends_with(MIN_LATENCY) && self.routing.chosen > GROUPS.1)
    }

    /// What the collector of `release` does with the choices of other ranks. The Triton kernel of `SGLang` is called by
    /// itself and given the rank's part of the tokens ([`Dealing::Clamped`]): always in 0.5.10, but for the table of B200,
    /// which is older than that (24 April 2026, the others from 5 May on); in 0.5.14 where the collector knows no more
    /// of a model's gate than its softmax, as of Mixtral's alone here, and calls no whole layer.
    fn dealing(&self, device: &str, release: &str) -> Dealing {
        let is_cut = match release.strip_suffix(CUT_OUT) {
            Some("sglang 0.5.10") => !device.starts_with("B200"),
            Some("sglang 0.5.14") => (self.hidden, self.inner, self.routing.experts) == (4096, 14_336, 8),
            _ => false,
        };
        match (is_cut && self.routing.ranks > 1, self.gates_by_group(release)) {
            (true, _) => Dealing::Clamped,
            (false, true) => Dealing::Limited,
            (false, false) => Dealing::Own,
        }
    }

    fn known(
        &self,
        reader: &mut Reader,
        (device, format): (&str, &str),
        (release, library): (String, String),
        measured: f64,
    ) -> Result<Known, String> {
        let (device, peaks) = reader.device(device, format)?;
        let Routing {
            tokens,
            chosen,
            experts,
            ranks,
            skew,
            ..
        } = self.routing;
        let (hidden, inner) = (self.hidden, self.inner);
        let routing = Routing {
            dealing: self.dealing(&device, &release),
            ..self.routing
        };
        let [tokens_key, chosen_key, experts_key, ranks_key] =
            [tokens, chosen, experts, ranks].map(u64::from);
        let dealing = routing.dealing as u64;
        let key = [
            tokens_key,
            chosen_key,
            experts_key,
            ranks_key,
            skew.to_bits(),
            dealing,
        ];
        let load = *reader.routings.entry(key).or_insert_with(|| fullest(&routing));
        let call = LibraryExperts {
            peaks,
            widths: widths(format)?,
            load,
            tokens,
            chosen,
            hidden,
            inner,
            experts,
            ranks,
            skew,
        };
        Ok(Known {
            class: Class::Experts,
            device,
            release,
            library,
            formats: format.to_owned(),
            shape: format!("{hidden:>6} {inner:>6} {experts:>4} {ranks:>4}"),
            question: format!(
                "tokens {tokens} hidden {hidden} inner {inner} experts {experts} of {chosen} ranks {ranks} skew {skew}"
            ),
            call: Call::Experts(Box::new(call)),
            measured,
        })
    }
}

/// A row of a table of several kinds: what it computes stands in `op`.
fn mixed(reader: &mut Reader, cells: &Cells) -> Result<Known, String> {
    if !matches!(field(cells, "direction"), "" | "fwd") {
        return Err("a backward kernel is no call of the law".to_owned());
    }
    let measured = seconds(cells, "time_us", 1e-6)?;
    let named = split(field(cells, "impl"));
    let of = (field(cells, "gpu"), field(cells, "dtype"));
    match field(cells, "op") {
        "gemm" => product(reader, cells, of, (named, measured)),
        "attention_prefill" => heads(reader, cells, false, (named, measured)),
        "attention_decode" => heads(reader, cells, true, (named, measured)),
        "fused_moe_local" => {
            let layer = Layer {
                routing: Routing {
                    tokens: whole(cells, "tokens")?,
                    chosen: whole(cells, "topk")?,
                    experts: whole(cells, "experts")?,
                    ranks: whole(cells, "ep")?,
                    skew: 0.0,
                    dealing: Dealing::Own,
                },
                hidden: whole(cells, "hidden")?,
                inner: whole(cells, "moe_ffn")?,
            };
            layer.known(reader, of, named, measured)
        }
        other => Err(format!("`{other}` is no kernel of the law")),
    }
}

fn heads(
    reader: &mut Reader,
    cells: &Cells,
    generation: bool,
    ((release, library), measured): ((String, String), f64),
) -> Result<Known, String> {
    let format = field(cells, "dtype");
    let (device, peaks) = reader.device(field(cells, "gpu"), format)?;
    let dim = whole(cells, "head_dim")?;
    let heads = Heads {
        generation,
        sequences: whole(cells, "batch")?,
        tokens: whole(cells, "seq_kv")?,
        heads: whole(cells, "heads")?,
        kv_heads: whole(cells, "kv_heads")?,
        dims: (dim, dim),
        absorbed: false,
        kernel_by_group: library.starts_with(BY_GROUP),
    };
    let width = widths(format)?.activation;
    Ok(Known {
        class: if generation {
            Class::AttentionGeneration
        } else {
            Class::AttentionContext
        },
        device,
        release,
        library,
        formats: format!("{format}, cache {format}"),
        shape: heads.shape(),
        question: heads.question(),
        call: heads.call(peaks, width, width),
        measured,
    })
}
