//! What runs, how long, and in how much memory: known before anything does.

use std::fmt::Write as _;
use std::time::Duration;

use orrery_kernels::device::MAX_RANKS;
use orrery_kernels::measure::{Mode, Subject};
use orrery_kernels::statistics::StopRule;
use orrery_operation::{CollectiveOp, Precision};
use orrery_units::{Bytes, SimDuration};

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub subject: Subject,
    /// How.
    pub mode: Mode,
}

/// Everything that runs, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The measurements.
    pub entries: Vec<Entry>,
    /// Share of the time in which the device is busy, above 0 and at most 1.
    pub duty: f64,
}

/// Second-level cache that a plan reckons with where no device tells: that of an H100.
const CACHE: u64 = 50 << 20;
/// Time before samples of a sustained measurement count.
const WARM_UP: SimDuration = SimDuration::from_millis(3000);
/// Time that operands take to be made and checked.
const PREPARE: f64 = 4.0;
/// Share of the cap that sampling takes where noise is small.
const USUAL: f64 = 0.2;

impl Entry {
    /// A name that no other entry has.
    #[must_use]
    pub fn id(&self) -> String {
        let mode = match self.mode {
            Mode::Sustained => "sustained",
            Mode::Cold => "cold",
        };
        format!("{}-{mode}", self.subject.id())
    }

    /// When it stops.
    #[must_use]
    pub fn sampling(&self) -> orrery_kernels::device::Sampling {
        orrery_kernels::device::Sampling {
            rule: StopRule::default(),
            warm_up: match self.mode {
                Mode::Sustained => WARM_UP,
                Mode::Cold => SimDuration::ZERO,
            },
        }
    }

    /// How long it usually takes, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        let sampling = self.sampling();
        PREPARE + sampling.warm_up.as_secs() + USUAL * sampling.rule.cap.as_secs()
    }

    /// Longest that it can take where all is well: its cap, and four times the preparation.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let sampling = self.sampling();
        let seconds = 4.0 * PREPARE + sampling.warm_up.as_secs() + sampling.rule.cap.as_secs();
        Duration::from_secs_f64(seconds)
    }

    /// Device memory, in bytes, beside a cache of `cache` bytes.
    #[must_use]
    pub fn memory(&self, cache: u64) -> u64 {
        self.subject.memory(Bytes::new(cache)).get()
    }
}

/// Widths of experts: gate and up, then down; and how many of them a rank holds.
const EXPERTS: [(u64, u64, u64); 4] = [
    // DeepSeek-V3 over 32 ranks, config.json: hidden 7168, inner 2048, 256 experts.
    (8, 4096, 7168),
    (8, 7168, 2048),
    // Mixtral 8x7B over 8 ranks of tensor parallelism: hidden 4096, inner 14336.
    (8, 3584, 4096),
    (8, 4096, 1792),
];

/// Collectives that layers wait for.
const COLLECTIVES: [CollectiveOp; 5] = [
    CollectiveOp::AllReduce,
    CollectiveOp::AllGather,
    CollectiveOp::ReduceScatter,
    CollectiveOp::AllToAll,
    CollectiveOp::SendRecv,
];

/// Dense products: squares up to what fills any device, and those of DeepSeek-V3's layers from decoding to training.
fn dense() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for side in [1024, 2048, 4096, 8192, 16_384] {
        subjects.push(Subject::Dense {
            m: side,
            n: side,
            k: side,
        });
    }
    for m in [16, 64, 256, 1024, 4096] {
        for (n, k) in [(4096, 7168), (7168, 2048), (2112, 7168)] {
            subjects.push(Subject::Dense { m, n, k });
            subjects.push(Subject::DenseFp8 { m, n, k });
        }
    }
    for (m, n, k) in [2048, 4096, 8192].map(|side| (side, side, side)) {
        subjects.push(Subject::DenseFp8 { m, n, k });
    }
    subjects
}

impl Plan {
    /// What a profile needs: copies, dense and grouped products from decoding to training, passes between them, and the
    /// contention law.
    #[must_use]
    pub fn standard(duty: f64) -> Self {
        let mut subjects = vec![Subject::LaunchFloor];
        for bytes in [64 << 20, 1 << 30] {
            subjects.extend([Subject::Copy { bytes }, Subject::Read { bytes }]);
        }
        subjects.extend(dense());
        for (experts, n, k) in EXPERTS {
            for rows_per_expert in [16, 128, 512, 2048] {
                subjects.push(Subject::LibraryGrouped {
                    experts,
                    rows_per_expert,
                    n,
                    k,
                });
            }
        }
        for precision in [Precision::Bf16, Precision::Fp8] {
            for (experts, n, k) in EXPERTS {
                for rows_per_expert in [16, 128, 512, 2048] {
                    subjects.push(Subject::Grouped {
                        experts,
                        rows_per_expert,
                        n,
                        k,
                        precision,
                    });
                }
            }
        }
        let (tokens, top_k, hidden) = (4096, 8, 7168);
        subjects.push(Subject::Swiglu {
            rows: tokens * top_k,
            inner: 2048,
        });
        subjects.push(Subject::Gather {
            tokens,
            top_k,
            hidden,
        });
        subjects.push(Subject::Combine {
            tokens,
            top_k,
            hidden,
        });
        // 8 and 31 waves of tiles on 132 units.
        for side in [4096, 8192] {
            for blocks in [0, 8, 16, 24, 32] {
                subjects.push(Subject::Contention { side, blocks });
            }
        }
        let sustained = subjects.into_iter().map(|subject| Entry {
            mode: match subject {
                Subject::LaunchFloor => Mode::Cold,
                _ => Mode::Sustained,
            },
            subject,
        });
        let mut entries: Vec<Entry> = sustained.collect();
        // Decoding meets its weights cold.
        for (experts, n, k) in EXPERTS {
            entries.push(Entry {
                subject: Subject::Grouped {
                    experts,
                    rows_per_expert: 16,
                    n,
                    k,
                    precision: Precision::Bf16,
                },
                mode: Mode::Cold,
            });
        }
        Self { entries, duty }
    }

    /// The same, and collectives by NCCL and copies among `ranks` devices of the node; nothing more where that is one.
    #[must_use]
    pub fn among(mut self, device: usize, ranks: usize) -> Self {
        if ranks < 2 {
            return self;
        }
        let mut subjects = vec![Subject::PeerCopy {
            bytes: 1 << 28,
            peer: (device + 1) % ranks,
        }];
        for op in COLLECTIVES {
            // From a message that is all latency to one that is all bandwidth.
            for bytes in (10..=31).step_by(3).map(|exponent| 1 << exponent) {
                subjects.push(Subject::Collective {
                    op,
                    bytes,
                    ranks: ranks as u64,
                });
            }
        }
        if ranks <= MAX_RANKS {
            for (exponent, is_ring) in [(13, false), (16, false), (19, true), (22, true), (28, true)] {
                subjects.push(Subject::AllReduce {
                    bytes: 1 << exponent,
                    ranks: ranks as u64,
                    is_ring,
                });
            }
        }
        let more = subjects.into_iter().map(|subject| Entry {
            subject,
            mode: Mode::Sustained,
        });
        self.entries.extend(more);
        self
    }

    /// The entries whose names hold one of `parts`; all of them where there are none.
    #[must_use]
    pub fn only(mut self, parts: &[String]) -> Self {
        if !parts.is_empty() {
            self.entries
                .retain(|entry| parts.iter().any(|part| entry.id().contains(part.as_str())));
        }
        self
    }

    /// How long to rest after being busy for so long.
    #[must_use]
    pub fn pause_after(&self, busy: Duration) -> Duration {
        busy.mul_f64((1.0 / self.duty - 1.0).max(0.0))
    }

    /// How long all of it usually takes, rests included, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.entries.iter().map(Entry::seconds).sum::<f64>() / self.duty
    }

    /// The most device memory that an entry takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.entries
            .iter()
            .map(|entry| entry.memory(CACHE))
            .max()
            .unwrap_or(0)
    }

    /// What tells two plans apart: the names of their entries.
    #[must_use]
    pub fn key(&self) -> String {
        self.entries.iter().map(Entry::id).collect::<Vec<_>>().join(" ")
    }

    /// The plan, for a person to read before it runs.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<44}{:<10}{:>10}{:>12}\n",
            "measurement", "kernels", "seconds", "memory"
        );
        for entry in &self.entries {
            let memory = Bytes::new(entry.memory(CACHE));
            let source = entry.subject.kernel_source();
            writeln!(
                text,
                "{:<44}{source:<10}{:>10.0}{:>12}",
                entry.id(),
                entry.seconds(),
                gib(memory)
            )
            .expect("a string takes every text");
        }
        let minutes = self.seconds() / 60.0;
        let (count, percent, memory) = (
            self.entries.len(),
            self.duty * 100.0,
            gib(Bytes::new(self.memory())),
        );
        writeln!(
            text,
            "\n{count} measurements, about {minutes:.0} min with the device busy {percent:.0} % of the time, up to {memory} of \
             its memory\nwhat is measured is kept as it comes: an interrupted run goes on where it was"
        )
        .expect("a string takes every text");
        text
    }
}

fn gib(bytes: Bytes) -> String {
    format!("{:.2} GiB", bytes.as_f64() / f64::from(1 << 30))
}
