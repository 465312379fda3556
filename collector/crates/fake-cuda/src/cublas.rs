//! Grouped products as cuBLAS takes them, computed on the host.

use std::ffi::{c_int, c_void};

use crate::numbers::{from_bf16, to_bf16};
use crate::{SUCCESS, number, put, thing};

/// `CUBLAS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: c_int = 15;
/// `CUDA_R_16BF`.
const BF16: c_int = 14;

/// Starts.
///
/// # Safety
/// `handle` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasCreate_v2(handle: *mut *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(handle, thing()) }
}

/// Ends.
#[unsafe(no_mangle)]
pub extern "C" fn cublasDestroy_v2(_handle: *mut c_void) -> c_int {
    SUCCESS
}

/// The version, which `ORRERY_FAKE_CUDA_CUBLAS` sets.
///
/// # Safety
/// `version` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGetVersion_v2(_handle: *mut c_void, version: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(version, number("CUBLAS", 120_901)) }
}

/// Works on any stream.
#[unsafe(no_mangle)]
pub extern "C" fn cublasSetStream_v2(_handle: *mut c_void, _stream: *mut c_void) -> c_int {
    SUCCESS
}

/// Multiplies bfloats, a product for each group: factors of one, nothing added, matrices column by column.
///
/// # Safety
/// Every list must have an entry for each group, groups hold one product each, and operands be as long as they are said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGemmGroupedBatchedEx(
    _handle: *mut c_void,
    first_transposed: *const c_int,
    second_transposed: *const c_int,
    rows: *const c_int,
    columns: *const c_int,
    depths: *const c_int,
    _factors: *const c_void,
    firsts: *const *const u16,
    first_kind: c_int,
    first_strides: *const c_int,
    seconds: *const *const u16,
    second_kind: c_int,
    second_strides: *const c_int,
    _addend_factors: *const c_void,
    results: *const *mut u16,
    result_kind: c_int,
    result_strides: *const c_int,
    num_groups: c_int,
    _group_sizes: *const c_int,
    _compute: c_int,
) -> c_int {
    if [first_kind, second_kind, result_kind] != [BF16; 3] {
        return NOT_SUPPORTED;
    }
    for group in 0..usize::try_from(num_groups).unwrap_or(0) {
        // SAFETY: as the caller says.
        let at = |list: *const c_int| usize::try_from(unsafe { *list.add(group) }).unwrap_or(0);
        let (is_first, is_second) = (at(first_transposed) != 0, at(second_transposed) != 0);
        // SAFETY: as the caller says.
        let (first, second, result) =
            unsafe { (*firsts.add(group), *seconds.add(group), *results.add(group)) };
        for column in 0..at(columns) {
            for row in 0..at(rows) {
                let products = (0..at(depths)).map(|deep| {
                    let of_first = if is_first {
                        row * at(first_strides) + deep
                    } else {
                        deep * at(first_strides) + row
                    };
                    let of_second = if is_second {
                        deep * at(second_strides) + column
                    } else {
                        column * at(second_strides) + deep
                    };
                    // SAFETY: as the caller says, and both places are within.
                    unsafe { from_bf16(*first.add(of_first)) * from_bf16(*second.add(of_second)) }
                });
                let sum = to_bf16(products.sum());
                // SAFETY: as the caller says, and the place is within.
                unsafe { *result.add(column * at(result_strides) + row) = sum };
            }
        }
    }
    SUCCESS
}
