//! Grouped products as cuBLAS takes them, computed on the host. With `library` in `ORRERY_FAKE_CUDA_GRAPHS` a product does
//! what no capture permits.

use std::ffi::{c_int, c_void};

use crate::numbers::{from_bf16, to_bf16};
use crate::stream::{enqueue, forbidden};
use crate::{SUCCESS, number, put};

/// `CUBLAS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: c_int = 15;
/// `CUBLAS_STATUS_ALLOC_FAILED`.
const ALLOC_FAILED: c_int = 3;
/// `CUDA_R_16BF`.
const BF16: c_int = 14;

/// The stream that a handle works on, as an address.
type Handle = usize;

/// What a group is told of on the host: which factors are transposed, rows, columns, depth and strides.
#[derive(Clone, Copy)]
struct Group {
    transposed: [bool; 2],
    extents: [usize; 3],
    strides: [usize; 3],
}

/// Starts.
///
/// # Safety
/// `handle` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasCreate_v2(handle: *mut *mut c_void) -> c_int {
    let made: Box<Handle> = Box::default();
    // SAFETY: as the caller says.
    unsafe { put(handle, Box::into_raw(made).cast()) }
}

/// Ends.
///
/// # Safety
/// The handle must be one of these, and not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasDestroy_v2(handle: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(handle.cast::<Handle>()) });
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

/// Works on this stream.
///
/// # Safety
/// The handle must be one of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasSetStream_v2(handle: *mut c_void, stream: *mut c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(handle.cast::<Handle>(), stream as usize) }
}

/// Multiplies bfloats, a product for each group: factors of one, nothing added, matrices column by column.
///
/// # Safety
/// The handle must be one of these and its stream live. Every list must have an entry for each group, groups hold one product
/// each, and operands be as long as they are said whenever it is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGemmGroupedBatchedEx(
    handle: *mut c_void,
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
    // SAFETY: as the caller says.
    let stream = unsafe { *handle.cast::<Handle>() } as *mut c_void;
    let reserves = std::env::var("ORRERY_FAKE_CUDA_GRAPHS").is_ok_and(|graphs| graphs == "library");
    // SAFETY: as the caller says.
    if reserves && unsafe { forbidden(stream) } {
        return ALLOC_FAILED;
    }
    let groups = (0..usize::try_from(num_groups).unwrap_or(0)).map(|group| {
        // SAFETY: as the caller says.
        let at = |list: *const c_int| usize::try_from(unsafe { *list.add(group) }).unwrap_or(0);
        Group {
            transposed: [at(first_transposed) != 0, at(second_transposed) != 0],
            extents: [at(rows), at(columns), at(depths)],
            strides: [at(first_strides), at(second_strides), at(result_strides)],
        }
    });
    let groups: Vec<Group> = groups.collect();
    let lists = [firsts as usize, seconds as usize, results as usize];
    let work = move || {
        for (at, group) in groups.iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe {
                let [first, second, result] = lists.map(|list| *(list as *const usize).add(at));
                multiply(
                    group,
                    [first as *const u16, second as *const u16],
                    result as *mut u16,
                );
            }
        }
        SUCCESS
    };
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, work) }
}

/// The product of one group.
///
/// # Safety
/// There must be matrices of these extents and strides.
unsafe fn multiply(group: &Group, [first, second]: [*const u16; 2], result: *mut u16) {
    let [rows, columns, depth] = group.extents;
    let strides = group.strides;
    let place = |is_turned: bool, stride: usize, row: usize, column: usize| {
        if is_turned {
            row * stride + column
        } else {
            column * stride + row
        }
    };
    for column in 0..columns {
        for row in 0..rows {
            let products = (0..depth).map(|deep| {
                let of_first = place(group.transposed[0], strides[0], row, deep);
                let of_second = place(group.transposed[1], strides[1], deep, column);
                // SAFETY: as the caller says, and both places are within.
                unsafe { from_bf16(*first.add(of_first)) * from_bf16(*second.add(of_second)) }
            });
            let sum = to_bf16(products.sum());
            // SAFETY: as the caller says, and the place is within.
            unsafe { *result.add(column * strides[2] + row) = sum };
        }
    }
}
