//! Dense products as cuBLASLt describes them, computed on the host: matrices column by column.

use std::ffi::{c_int, c_void};

use crate::numbers::{from_bf16, from_e4m3, to_bf16};
use crate::stream::enqueue;
use crate::{SUCCESS, put, thing};

/// `CUBLAS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: c_int = 15;
/// `CUBLASLT_MATMUL_DESC_TRANSA` and `_TRANSB`.
const TRANSPOSED: [c_int; 2] = [3, 4];
/// `CUDA_R_16BF`.
const BF16: c_int = 14;
/// `CUDA_R_8F_E4M3`.
const E4M3: c_int = 28;
/// Bytes of a result of the search for algorithms: the algorithm, its workspace, its state, waves and four words.
const FOUND: usize = 64 + 8 + 4 + 4 + 16;

/// Which operands are transposed.
type Product = [bool; 2];

/// A matrix.
#[derive(Clone, Copy)]
struct Layout {
    kind: c_int,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl Layout {
    /// The number at a place.
    ///
    /// # Safety
    /// `at` must be a matrix of this layout, and the place within it.
    unsafe fn number(self, at: *const c_void, row: usize, column: usize) -> f32 {
        let place = column * self.stride + row;
        // SAFETY: as the caller says.
        unsafe {
            match self.kind {
                E4M3 => from_e4m3(*at.cast::<u8>().add(place)),
                _ => from_bf16(*at.cast::<u16>().add(place)),
            }
        }
    }
}

/// Starts.
///
/// # Safety
/// `handle` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtCreate(handle: *mut *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(handle, thing()) }
}

/// Ends.
#[unsafe(no_mangle)]
pub extern "C" fn cublasLtDestroy(_handle: *mut c_void) -> c_int {
    SUCCESS
}

/// A product of which nothing is transposed yet.
///
/// # Safety
/// `product` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescCreate(
    product: *mut *mut c_void,
    _compute: c_int,
    _scale: c_int,
) -> c_int {
    let made: Box<Product> = Box::default();
    // SAFETY: as the caller says.
    unsafe { put(product, Box::into_raw(made).cast()) }
}

/// Ends a product.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescDestroy(product: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(product.cast::<Product>()) });
    SUCCESS
}

/// Says what is transposed; other attributes are taken as they are.
///
/// # Safety
/// The product must be one of these, and `value` a number of 4 bytes where an operand is transposed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulDescSetAttribute(
    product: *mut c_void,
    attribute: c_int,
    value: *const c_void,
    _size: usize,
) -> c_int {
    if let Some(operand) = TRANSPOSED.iter().position(|&each| each == attribute) {
        // SAFETY: as the caller says.
        unsafe { (&mut *product.cast::<Product>())[operand] = *value.cast::<c_int>() != 0 };
    }
    SUCCESS
}

/// A matrix of this format and these extents.
///
/// # Safety
/// `layout` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatrixLayoutCreate(
    layout: *mut *mut c_void,
    kind: c_int,
    rows: u64,
    columns: u64,
    stride: i64,
) -> c_int {
    let size = |value: u64| usize::try_from(value).unwrap_or(0);
    let made = Layout {
        kind,
        rows: size(rows),
        columns: size(columns),
        stride: size(stride.unsigned_abs()),
    };
    // SAFETY: as the caller says.
    unsafe { put(layout, Box::into_raw(Box::new(made)).cast()) }
}

/// Ends a matrix.
///
/// # Safety
/// It must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatrixLayoutDestroy(layout: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(layout.cast::<Layout>()) });
    SUCCESS
}

/// What is preferred: nothing is.
///
/// # Safety
/// `preference` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulPreferenceCreate(preference: *mut *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(preference, thing()) }
}

/// Ends a preference.
#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulPreferenceDestroy(_preference: *mut c_void) -> c_int {
    SUCCESS
}

/// Prefers something.
#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    _preference: *mut c_void,
    _attribute: c_int,
    _value: *const c_void,
    _size: usize,
) -> c_int {
    SUCCESS
}

/// An algorithm, if the product is one that the library has: of 8-bit numbers the first operand transposed, the second one
/// not, and extents that are multiples of 16 (NVIDIA, cuBLAS, "8-bit floating point data types").
///
/// # Safety
/// Product and layouts must be of these, and the last two pointers valid for one result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    _handle: *mut c_void,
    product: *mut c_void,
    first: *mut c_void,
    second: *mut c_void,
    _addend: *mut c_void,
    _result: *mut c_void,
    _preference: *mut c_void,
    _wanted: c_int,
    found: *mut c_void,
    count: *mut c_int,
) -> c_int {
    // SAFETY: as the caller says.
    let (transposed, first, second) = unsafe {
        (
            *product.cast::<Product>(),
            *first.cast::<Layout>(),
            *second.cast::<Layout>(),
        )
    };
    let extents = [first.rows, first.columns, second.columns];
    let fits = transposed == [true, false] && extents.iter().all(|extent| extent % 16 == 0);
    if first.kind == E4M3 && !fits {
        return NOT_SUPPORTED;
    }
    // SAFETY: as the caller says.
    unsafe {
        found.cast::<[u8; FOUND]>().write_unaligned([0; FOUND]);
        put(count, 1)
    }
}

/// Multiplies, with factors of one and nothing added, and bfloats for a result.
///
/// # Safety
/// Product and layouts must be of these, the operands matrices of those layouts whenever it is done, and the stream be of
/// these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasLtMatmul(
    _handle: *mut c_void,
    product: *mut c_void,
    _factor: *const c_void,
    first: *const c_void,
    first_layout: *mut c_void,
    second: *const c_void,
    second_layout: *mut c_void,
    _addend_factor: *const c_void,
    _addend: *const c_void,
    _addend_layout: *mut c_void,
    result: *mut c_void,
    result_layout: *mut c_void,
    _algorithm: *const c_void,
    _workspace: *mut c_void,
    _workspace_size: usize,
    stream: *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let (transposed, of_first, of_second, of_result) = unsafe {
        (
            *product.cast::<Product>(),
            *first_layout.cast::<Layout>(),
            *second_layout.cast::<Layout>(),
            *result_layout.cast::<Layout>(),
        )
    };
    if of_result.kind != BF16 {
        return NOT_SUPPORTED;
    }
    let layouts = [of_first, of_second, of_result];
    let places = [first as usize, second as usize, result as usize];
    let work = move || {
        // SAFETY: as the caller says.
        unsafe { multiply(transposed, layouts, places) };
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// The product of matrices at these places.
///
/// # Safety
/// There must be matrices of these layouts.
unsafe fn multiply(transposed: Product, [of_first, of_second, of_result]: [Layout; 3], places: [usize; 3]) {
    let [first, second, result] = places;
    let (first, second) = (first as *const c_void, second as *const c_void);
    let depth = if transposed[0] {
        of_first.rows
    } else {
        of_first.columns
    };
    for column in 0..of_result.columns {
        for row in 0..of_result.rows {
            let products = (0..depth).map(|at| {
                let left = if transposed[0] { (at, row) } else { (row, at) };
                let right = if transposed[1] { (column, at) } else { (at, column) };
                // SAFETY: as the caller says, and both places are within.
                unsafe { of_first.number(first, left.0, left.1) * of_second.number(second, right.0, right.1) }
            });
            let place = column * of_result.stride + row;
            // SAFETY: as the caller says, and the place is within.
            unsafe { *(result as *mut u16).add(place) = to_bf16(products.sum()) };
        }
    }
}
