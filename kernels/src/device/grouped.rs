//! Products of experts on the device, by this package's own kernels.

use cudarc::driver::sys::{self, CUtensorMap};
use cudarc::driver::{CudaFunction, CudaSlice, DevicePtr as _, DeviceRepr, LaunchConfig, PushKernelArg as _};
use orrery_operation::Precision;

use super::operands::{draw, fetch, forget, int, reserve, size, upload};
use super::{Device, DeviceError, driver};
use crate::Bf16;
use crate::catalog::Kernel;
use crate::compile::Architecture;
use crate::measure::Subject;
use crate::reference::{Quantized, dequantize_tiles, quantize_rows, quantize_tiles};
use crate::verify;

/// A tensor map as a kernel's argument.
#[repr(transparent)]
struct Map(CUtensorMap);

// SAFETY: plain memory, as the driver encoded it.
unsafe impl DeviceRepr for Map {}

/// Products of experts by this package's fastest kernel of the architecture, contiguous rows.
pub(super) struct Grouped {
    function: CudaFunction,
    kernel: Kernel,
    copies: Vec<Copied>,
    starts: CudaSlice<i32>,
    shape: Shape,
    truth: Truth,
}

/// One copy of the operands.
struct Copied {
    input: CudaSlice<u8>,
    input_scales: CudaSlice<f32>,
    weights: CudaSlice<u8>,
    weight_scales: CudaSlice<f32>,
    maps: Option<(Map, Map)>,
    result: CudaSlice<Bf16>,
}

struct Shape {
    rows: usize,
    experts: i32,
    columns: i32,
    depth: i32,
    memory: u32,
    threads: u32,
}

/// What is multiplied, as numbers of the host, and the expert of every row.
struct Truth {
    input: Vec<f32>,
    weights: Vec<f32>,
    expert_of_row: Vec<usize>,
    allowed: f64,
}

impl Grouped {
    pub(super) fn new(device: &Device, subject: &Subject, num_copies: u64) -> Result<Self, DeviceError> {
        let shape = subject
            .grouped()
            .expect("the caller gives grouped products alone");
        let is_eight = shape.precision == Precision::Fp8;
        let kernel = match is_eight {
            false => Kernel::best_gemm_bf16(device.architecture),
            true => Kernel::best_gemm_fp8(device.architecture).ok_or(DeviceError::Missing {
                library: "tensor cores of 8 bits",
                remedy: "they came with compute capability 8.9; leave this measurement out",
            })?,
        };
        let per_expert = subject.expert_rows();
        let (rows, experts) = (size(shape.rows), per_expert.len());
        let (columns, depth) = (size(shape.n), size(shape.k));
        let (input, weights) = (
            draw("input", rows * depth),
            draw("weights", experts * columns * depth),
        );
        let prepared = Prepared::new(&input, &weights, (columns, depth), is_eight);
        let (memory, threads, box_rows) = launch_of(device.architecture);
        let mut starts = vec![0];
        let mut expert_of_row = Vec::with_capacity(rows);
        for (expert, &count) in per_expert.iter().enumerate() {
            starts.push(starts[expert] + int(count));
            expert_of_row.extend(std::iter::repeat_n(expert, size(count)));
        }
        let extents = [(rows, depth), (experts * columns, depth)];
        let copies =
            (0..num_copies).map(|_| prepared.copy(device, extents, box_rows, (rows * columns, is_eight)));
        Ok(Self {
            function: device.function(kernel, memory)?,
            kernel,
            copies: copies.collect::<Result<_, DeviceError>>()?,
            starts: upload(device, &starts)?,
            shape: Shape {
                rows,
                experts: int(experts as u64),
                columns: int(shape.n),
                depth: int(shape.k),
                memory,
                threads,
            },
            truth: Truth {
                input: prepared.input_values,
                weights: prepared.weight_values,
                expert_of_row,
                allowed: if is_eight {
                    verify::ALLOWED.1
                } else {
                    verify::ALLOWED.0
                },
            },
        })
    }

    pub(super) const fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn launch(&self, device: &Device, index: usize) -> Result<(), DeviceError> {
        let shape = &self.shape;
        let copy = &self.copies[index % self.copies.len()];
        let is_eight = !matches!(
            self.kernel,
            Kernel::GemmBf16 | Kernel::HopperBf16 | Kernel::BlackwellBf16
        );
        let mut launch = device.stream.launch_builder(&self.function);
        match &copy.maps {
            Some((input, _)) => launch.arg(input),
            None => launch.arg(&copy.input),
        };
        if is_eight {
            launch.arg(&copy.input_scales);
        }
        match &copy.maps {
            Some((_, weights)) => launch.arg(weights),
            None => launch.arg(&copy.weights),
        };
        if is_eight {
            launch.arg(&copy.weight_scales);
        }
        launch
            .arg(&self.starts)
            .arg(&copy.result)
            .arg(&shape.experts)
            .arg(&0_i32);
        launch.arg(&shape.columns).arg(&shape.depth);
        let config = LaunchConfig {
            grid_dim: (device.facts.num_units, 1, 1),
            block_dim: (shape.threads, 1, 1),
            shared_mem_bytes: shape.memory,
        };
        // SAFETY: the buffers hold as many numbers as the extents say, and maps describe the same buffers.
        unsafe { launch.launch(config) }
            .map(|_| ())
            .map_err(driver("launching"))
    }

    /// Forgets the result that is checked.
    pub(super) fn forget(&self, device: &Device) -> Result<(), DeviceError> {
        forget(&device.stream, &self.copies[0].result)
    }

    pub(super) fn check(&self, device: &Device) -> Result<f64, DeviceError> {
        let result = fetch(device, &self.copies[0].result)?;
        let (columns, depth) = (
            size(self.shape.columns.unsigned_abs().into()),
            size(self.shape.depth.unsigned_abs().into()),
        );
        let pairs =
            verify::sampled(self.shape.rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let truth = &self.truth;
        let errors = pairs.map(|(row, column)| {
            let weights = (truth.expert_of_row[row] * columns + column) * depth;
            let products = (0..depth)
                .map(|i| f64::from(truth.input[row * depth + i]) * f64::from(truth.weights[weights + i]));
            (f64::from(result[row * columns + column].to_f32()), products.sum())
        });
        Ok(verify::within("grouped product", errors, truth.allowed)?)
    }
}

/// Dynamic shared memory and threads of the fastest products, and the rows of a box of weights where bulk copies feed them.
const fn launch_of(architecture: Architecture) -> (u32, u32, Option<u32>) {
    match architecture {
        Architecture::Sm80 | Architecture::Sm89 => (98_304, 256, None),
        Architecture::Sm90a => (197_120, 384, Some(256)),
        Architecture::Sm100a => (132_096, 256, Some(128)),
    }
}

/// Operands as bytes and as what they stand for.
struct Prepared {
    input: Vec<u8>,
    input_scales: Vec<f32>,
    input_values: Vec<f32>,
    weights: Vec<u8>,
    weight_scales: Vec<f32>,
    weight_values: Vec<f32>,
}

impl Prepared {
    /// In 8 bits the truth takes the input as it was before it was quantised, which is part of the error that is
    /// allowed, and the weights as they are stored.
    fn new(input: &[Bf16], weights: &[Bf16], (columns, depth): (usize, usize), is_eight: bool) -> Self {
        let values = |numbers: &[Bf16]| numbers.iter().map(|number| number.to_f32()).collect();
        let plain = |numbers: &[Bf16]| {
            numbers
                .iter()
                .flat_map(|number| number.to_bits().to_le_bytes())
                .collect()
        };
        let bits = |quantized: &Quantized| quantized.numbers.iter().map(|number| number.to_bits()).collect();
        let (left, right) = match is_eight {
            true => (
                Some(quantize_rows(input, depth)),
                Some(quantize_tiles(weights, columns, depth)),
            ),
            false => (None, None),
        };
        let scales =
            |quantized: &Option<Quantized>| quantized.as_ref().map_or(vec![0.0], |each| each.scales.clone());
        let weight_values = match &right {
            Some(right) => dequantize_tiles(right, columns, depth),
            None => values(weights),
        };
        Self {
            input: left.as_ref().map_or_else(|| plain(input), bits),
            input_scales: scales(&left),
            input_values: values(input),
            weights: right.as_ref().map_or_else(|| plain(weights), bits),
            weight_scales: scales(&right),
            weight_values,
        }
    }

    /// One copy on the device: `extents` are rows and depth of the input and of the weights.
    fn copy(
        &self,
        device: &Device,
        extents: [(usize, usize); 2],
        box_rows: Option<u32>,
        (num_results, is_eight): (usize, bool),
    ) -> Result<Copied, DeviceError> {
        let (input, weights) = (upload(device, &self.input)?, upload(device, &self.weights)?);
        let maps = box_rows.map(|box_rows| -> Result<(Map, Map), DeviceError> {
            let left = tensor_map(device, &input, extents[0], 128, is_eight)?;
            let right = tensor_map(device, &weights, extents[1], box_rows, is_eight)?;
            Ok((left, right))
        });
        let maps = maps.transpose()?;
        Ok(Copied {
            maps,
            input_scales: upload(device, &self.input_scales)?,
            weight_scales: upload(device, &self.weight_scales)?,
            result: reserve(device, num_results)?,
            input,
            weights,
        })
    }
}

/// The map of rows x depth numbers, copied in boxes of `box_rows` x 128 bytes with 128-byte swizzling.
fn tensor_map(
    device: &Device,
    buffer: &CudaSlice<u8>,
    (rows, depth): (usize, usize),
    box_rows: u32,
    is_eight: bool,
) -> Result<Map, DeviceError> {
    let (kind, bytes) = match is_eight {
        true => (sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_UINT8, 1),
        false => (sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2),
    };
    let (address, _record) = buffer.device_ptr(&device.stream);
    let (extents, strides) = ([depth as u64, rows as u64], [(depth * bytes) as u64]);
    let (boxes, steps) = (
        [128 / u32::try_from(bytes).expect("one or two"), box_rows],
        [1, 1],
    );
    let mut map = std::mem::MaybeUninit::<CUtensorMap>::zeroed();
    // SAFETY: every array has an entry for each of two dimensions (one fewer of strides), the address is that of a
    // buffer of these extents, and the map is written before it is read.
    let outcome = unsafe {
        sys::cuTensorMapEncodeTiled(
            map.as_mut_ptr(),
            kind,
            2,
            address as *mut std::ffi::c_void,
            extents.as_ptr(),
            strides.as_ptr(),
            boxes.as_ptr(),
            steps.as_ptr(),
            sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
            sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
            sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
            sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
    };
    outcome
        .result()
        .map_err(driver("describing operands for bulk copies"))?;
    // SAFETY: zeroed, and encoded by the driver.
    Ok(Map(unsafe { map.assume_init() }))
}
