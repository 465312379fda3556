//! Attention of a library: whole prompts, and one token against a cache.

use super::{LibraryKernel, Peaks, fill, overlapped, prior};
use crate::fit::{Component, Prior};

/// Rows of queries of a tile (FlashAttention-2 and -3).
const QUERY_TILE: f64 = 128.0;
/// Rows that a tensor core multiplies at least: heads that share keys fill them.
const HEAD_TILE: f64 = 64.0;
/// Rows of the smallest product of a warp (`mma.m16n8k16`): so many heads that share keys begin as fast as one.
const LEAST_ROWS: f64 = 8.0;

/// Causal attention over whole prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LibraryContext {
    /// Data sheet.
    pub peaks: Peaks,
    /// Prompts.
    pub sequences: u32,
    /// Tokens of each.
    pub tokens: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Width of a query and key head.
    pub qk_dim: u32,
    /// Width of a value head.
    pub v_dim: u32,
    /// Bytes of an element of the operands.
    pub width: f64,
}

/// One token of each sequence against its cache. Where keys are wider than values and shared by all heads, the values
/// are a part of the keys (absorbed latent attention).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LibraryGeneration {
    /// Data sheet.
    pub peaks: Peaks,
    /// Sequences.
    pub sequences: u32,
    /// Tokens in the cache of each.
    pub tokens: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Width of a query and key head.
    pub qk_dim: u32,
    /// Width of a value head.
    pub v_dim: u32,
    /// Whether values are a part of the keys.
    pub absorbed: bool,
    /// Whether the library runs a kernel of its own where 2 to 16 heads share keys, and a general one elsewhere, as
    /// TensorRT-LLM does (`kernels/decoderMaskedMultiheadAttention`: XQA beside the masked kernel). FlashAttention packs
    /// heads into one tile whatever their number.
    pub kernel_by_group: bool,
    /// Bytes of an element of the cache.
    pub width: f64,
}

impl LibraryKernel for LibraryContext {
    const SCATTER: f64 = 0.05;
    const SHAPE: &'static [usize] = &[2, 3];

    /// Efficiency, keys of a diagonal block, launch, share of the bandwidth, sharpness, share of the last wave that is
    /// lost, and passes before the core over queries, and over keys and values.
    fn priors() -> Vec<Prior> {
        vec![
            prior(0.6, 0.4),
            prior(128.0, 1.0),
            prior(6e-6, 0.8),
            prior(0.8, 0.5),
            prior(3.0, 0.4),
            prior(0.7, 0.8),
            prior(1.0, 1.0),
            prior(1.0, 1.0),
        ]
    }

    fn components() -> Vec<Component> {
        vec![
            Component::rough(0.15, &[(1, 0.7), (4, 1.0), (5, 2.0)]),
            Component::rough(0.10, &[(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]),
        ]
    }

    /// `launch + corner(compute, memory) + passes`: `2 (d_qk + d_v) · b h s (s / 2 + block)` operations with `s` queries
    /// filled up to tiles, at least those of the longest row of tiles.
    fn seconds(&self, parameters: &[f64]) -> f64 {
        let [efficiency, block, launch, share, sharpness, tail, queries, keys] = parameters else {
            return f64::NAN;
        };
        let [b, s, h, kv] = [self.sequences, self.tokens, self.heads, self.kv_heads].map(f64::from);
        let (qk, v) = (f64::from(self.qk_dim), f64::from(self.v_dim));
        let (units, bandwidth) = (f64::from(self.peaks.num_units), self.peaks.bandwidth.get());
        let rate = self.peaks.rate.get() * efficiency;
        let rows = (s / QUERY_TILE).ceil() * QUERY_TILE;
        let all = 2.0 * b * h * rows * (s / 2.0 + block) * (qk + v) / rate;
        let longest = 2.0 * QUERY_TILE * (s + block) * (qk + v) * units / rate;
        let waves = b * h * (s / QUERY_TILE).ceil() / units;
        let idle = if waves > 1.0 { waves.ceil() - waves } else { 0.0 };
        let compute = overlapped(all, longest, 4.0) + tail.min(1.0) * longest * idle / 2.0;
        let memory = b * s * (h + kv) * (qk + v) * self.width / (bandwidth * share);
        let before = b * s * (queries * h * qk + keys * kv * (qk + v)) * 2.0 / bandwidth;
        launch + overlapped(compute, memory, *sharpness) + before
    }

    fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    fn coordinates(&self) -> Vec<f64> {
        let [b, s, h, kv] = [self.sequences, self.tokens, self.heads, self.kv_heads].map(f64::from);
        vec![b.ln(), s.ln(), h.ln(), kv.ln(), (b * h).ln(), (h / kv).ln()]
    }
}

impl LibraryGeneration {
    /// Sequences, tokens, heads, heads of keys.
    fn sizes(&self) -> [f64; 4] {
        [self.sequences, self.tokens, self.heads, self.kv_heads].map(f64::from)
    }

    /// Whether 2 to 16 heads share keys.
    fn is_grouped(&self) -> bool {
        let [.., h, kv] = self.sizes();
        (1.5..17.0).contains(&(h / kv))
    }

    /// Whether it runs on the general kernel of a library that has two.
    fn is_general(&self) -> bool {
        self.kernel_by_group && !self.is_grouped()
    }
}

impl LibraryKernel for LibraryGeneration {
    const SCATTER: f64 = 0.05;
    const SHAPE: &'static [usize] = &[2, 3];

    /// Efficiency, launch, share of the bandwidth, sharpness, least tokens of a part of the cache, seconds to combine
    /// parts, share of the traffic that a warm cache leaves, the share of units that draws the whole bandwidth, seconds to
    /// begin another wave, the power of a block's rows that this grows with (half way between not at all and with each), and
    /// launch and wave of the general kernel over those of the kernel for heads that share keys.
    fn priors() -> Vec<Prior> {
        vec![
            prior(0.5, 0.6),
            prior(6e-6, 0.8),
            prior(0.8, 0.4),
            prior(3.0, 0.4),
            prior(256.0, 1.0),
            prior(1e-6, 1.0),
            prior(0.3, 1.0),
            prior(0.5, 0.8),
            prior(1e-6, 1.5),
            prior(0.5, 0.7),
            prior(1.0, 0.2),
            prior(1.0, 0.7),
        ]
    }

    fn components() -> Vec<Component> {
        vec![
            Component::rough(0.20, &[(1, 0.8), (4, 1.0), (5, 0.5), (6, 1.5), (7, 0.5)]),
            Component::rough(0.15, &[(0, 1.0), (1, 1.0), (2, 1.5), (3, 1.5), (7, 0.5)]),
        ]
    }

    /// The cache is split into as many parts as fill the units, of no fewer than the least tokens; it is read at the
    /// bandwidth that the busy units draw, faster where all of it fits the last level of cache, and waves begin beside that:
    /// `launch + corner(compute, memory, begin) + combine`.
    fn seconds(&self, parameters: &[f64]) -> f64 {
        let [
            efficiency,
            launch,
            share,
            sharpness,
            part,
            combine,
            warm,
            drawing,
            wave,
            growth,
            general_launch,
            general_wave,
        ] = parameters
        else {
            return f64::NAN;
        };
        let [b, s, h, kv] = self.sizes();
        let (qk, v) = (f64::from(self.qk_dim), f64::from(self.v_dim));
        let units = f64::from(self.peaks.num_units);
        let bandwidth = self.peaks.bandwidth.get();
        let blocks = (h / kv / HEAD_TILE).ceil();
        let most = (s / part).max(1.0);
        let parts = (units / (b * kv * blocks)).floor().min(most).max(1.0);
        let waves = b * kv * blocks * parts / units;
        let busy = fill(waves);
        let kept = if self.absorbed { qk } else { qk + v };
        let bytes = b * s * kv * kept * self.width + 4.0 * b * h * qk;
        let drawn = (busy / drawing.min(1.0)).min(1.0);
        let hot = (1.0 + (bytes / self.peaks.cache.as_f64()).powi(2)).recip();
        let memory = bytes / (bandwidth * share * drawn) * (1.0 - hot * (1.0 - warm.min(1.0)));
        let padded = kv * blocks * HEAD_TILE;
        let compute = 2.0 * b * padded * s * (qk + v) / (self.peaks.rate.get() * efficiency * busy);
        let (launch, wave) = if self.is_general() {
            let rows = h / kv / LEAST_ROWS;
            (launch * general_launch, wave * general_wave * rows.powf(*growth))
        } else {
            (*launch, *wave)
        };
        let begin = wave * (waves - 1.0).max(0.0);
        let combined = if parts > 1.0 { *combine } else { 0.0 };
        let written = 8.0 * b * h * v * parts / bandwidth;
        let read = overlapped(compute, memory, *sharpness);
        launch + overlapped(read, begin, *sharpness) + combined + written
    }

    fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    fn coordinates(&self) -> Vec<f64> {
        let [b, s, h, kv] = self.sizes();
        let waves = b * kv / f64::from(self.peaks.num_units);
        vec![
            b.ln(),
            s.ln(),
            h.ln(),
            kv.ln(),
            (b * kv * s).ln(),
            fill(waves),
            (h / kv).ln(),
            f64::from(u8::from(self.is_grouped())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use orrery_units::{Bytes, BytesPerSec, FlopsPerSec};

    use super::*;

    fn peaks() -> Peaks {
        Peaks {
            rate: FlopsPerSec::new(1e15),
            bandwidth: BytesPerSec::new(1e12),
            num_units: 100,
            cache: Bytes::new(1),
        }
    }

    /// 8 sequences of 8192 tokens, 32 heads of 128: `2 · 256 · 8 · 32 · 8192² / 2 = 4.398e12` operations, at half of
    /// 1 PFLOP/s 8.796 ms, with 10 us of launch.
    #[test]
    fn a_prompt_is_arithmetic() {
        let prompt = LibraryContext {
            peaks: peaks(),
            sequences: 8,
            tokens: 8192,
            heads: 32,
            kv_heads: 8,
            qk_dim: 128,
            v_dim: 128,
            width: 2.0,
        };
        let seconds = prompt.seconds(&[0.5, 1e-9, 10e-6, 1.0, 20.0, 1e-9, 1e-9, 1e-9]);
        assert!((seconds * 1e3 - 8.806).abs() < 2e-3, "{seconds}");
    }

    /// 100 sequences of 10,000 tokens with one head of keys, 128 wide and of two bytes: 0.512 GB of cache, 0.512 ms at
    /// 1 TB/s when every unit has a sequence; queries add 51 KB, the result 102 KB.
    #[test]
    fn a_token_is_the_cache() {
        let token = LibraryGeneration {
            peaks: peaks(),
            sequences: 100,
            tokens: 10_000,
            heads: 1,
            kv_heads: 1,
            qk_dim: 128,
            v_dim: 128,
            absorbed: false,
            kernel_by_group: false,
            width: 2.0,
        };
        let parameters = [
            1.0, 1e-12, 1.0, 20.0, 256.0, 1e-12, 1.0, 1.0, 1e-12, 0.5, 1.0, 1.0,
        ];
        let seconds = token.seconds(&parameters);
        assert!((seconds * 1e3 - 0.51215).abs() < 1e-3, "{seconds}");
        // Half the sequences leave half of the units for a second part of each cache.
        let fewer = LibraryGeneration {
            sequences: 50,
            ..token
        };
        let half = fewer.seconds(&parameters);
        assert!((half / seconds - 0.5).abs() < 1e-2, "{half}");
    }

    /// 10,100 sequences of one token in blocks of one head of keys are 101 waves: 100 of them begin for 1 us each beside 10 us
    /// of launch, 110 us, and little is read meanwhile. The general kernel launches for twice as long; a block with 32 rows
    /// begins `(32 / 8)^0.5 = 2` times as long, 220 us; one with a row `(1 / 8)^0.5`, 55.4 us.
    #[test]
    fn waves_begin_beside_what_is_read() {
        let seconds = |heads, kernel_by_group| {
            let token = LibraryGeneration {
                peaks: peaks(),
                sequences: 10_100,
                tokens: 1,
                heads,
                kv_heads: 1,
                qk_dim: 1,
                v_dim: 1,
                absorbed: false,
                kernel_by_group,
                width: 2.0,
            };
            let parameters = [1.0, 10e-6, 1.0, 20.0, 256.0, 1e-12, 1.0, 1.0, 1e-6, 0.5, 2.0, 1.0];
            token.seconds(&parameters) * 1e6
        };
        for (heads, kernel_by_group, micros) in [
            (8, true, 110.0),
            (32, true, 220.0),
            (1, true, 55.4),
            (32, false, 110.0),
            (1, false, 110.0),
        ] {
            let found = seconds(heads, kernel_by_group);
            // The result is 8 bytes a head.
            let written = 8.0 * 10_100.0 * f64::from(heads) / 1e12 * 1e6;
            assert!(
                (found - written - micros).abs() < 0.5,
                "{heads} heads: {found} us, not {micros}"
            );
        }
    }
}
