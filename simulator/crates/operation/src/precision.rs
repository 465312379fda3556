//! Number formats of tensors and of matrix arithmetic.

use std::fmt;

use orrery_units::Bytes;
use serde::{Deserialize, Serialize};

/// A number format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit float.
    Fp32,
    /// 32-bit float, multiplied at 19-bit precision on tensor cores.
    Tf32,
    /// 16-bit bfloat.
    Bf16,
    /// 16-bit float.
    Fp16,
    /// 8-bit float, scales apart.
    Fp8,
    /// 8-bit integer.
    Int8,
    /// 4-bit float, scales apart.
    Fp4,
}

impl Precision {
    /// Every format.
    pub const ALL: [Self; 7] = [
        Self::Fp32,
        Self::Tf32,
        Self::Bf16,
        Self::Fp16,
        Self::Fp8,
        Self::Int8,
        Self::Fp4,
    ];

    /// Bits of one element, scales not counted.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Fp32 | Self::Tf32 => 32,
            Self::Bf16 | Self::Fp16 => 16,
            Self::Fp8 | Self::Int8 => 8,
            Self::Fp4 => 4,
        }
    }

    /// Bytes of `elements` elements, scales not counted.
    #[must_use]
    pub const fn bytes_of(self, elements: u64) -> Bytes {
        Bytes::new((elements * self.bits()).div_ceil(8))
    }

    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Fp4 => "fp4",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
