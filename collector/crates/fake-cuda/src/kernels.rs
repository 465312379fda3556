//! Kernels: those that a library of kernels built for the CPU has are run by it, others do nothing.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use std::sync::{Mutex, PoisonError};

use crate::{SUCCESS, mood, put, thing};

/// `RTLD_NOW`.
const NOW: c_int = 2;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// What a function of a module is.
#[derive(Debug)]
struct Function {
    name: CString,
    run: Option<Run>,
}

type Run = unsafe extern "C" fn(*const Launch, *mut *mut *mut c_void);

/// A launch as kernels built for the CPU take it (`kernels/emulator`).
#[repr(C)]
struct Launch {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic_bytes: c_uint,
    seed: c_uint,
    grids: c_uint,
    together: c_uint,
}

/// A matrix as kernels built for the CPU see it, in place of what the driver encodes.
#[repr(C, align(64))]
struct TensorMap {
    base: *const c_void,
    columns: u64,
    rows: u64,
    row_bytes: u64,
    box_columns: c_uint,
    box_rows: c_uint,
    element_bytes: c_uint,
    rest: [u8; 84],
}

/// The function that runs the kernel `name`, if a library has it.
fn runner(name: &CStr) -> Option<Run> {
    let libraries = std::env::var("ORRERY_FAKE_CUDA_KERNELS").ok()?;
    let wanted = CString::new(format!("launch_{}", name.to_str().ok()?)).ok()?;
    libraries.split(':').find_map(|path| {
        let path = CString::new(path).ok()?;
        // SAFETY: the library is one of kernels, built for tests; both texts end with a zero.
        let found = unsafe {
            let library = dlopen(path.as_ptr(), NOW);
            (!library.is_null()).then(|| dlsym(library, wanted.as_ptr()))?
        };
        // SAFETY: every function of this name has this type.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Run>(found) })
    })
}

/// Bytes of a parameter, at most.
const LONGEST: usize = 128;

/// Parameters of launches that wait for those of other ranks.
static WAITING: Mutex<Vec<Vec<[u8; LONGEST]>>> = Mutex::new(Vec::new());

/// Sizes of the parameters of kernels whose ranks wait for each other: addresses of peers, buffers, length, then the rank,
/// how many there are, and the number of the launch.
fn waiting_sizes(name: &CStr) -> Option<&'static [usize]> {
    const ONE_SHOT: &[usize] = &[128, 8, 8, 4, 4, 4];
    const RING: &[usize] = &[128, 8, 4, 4, 4];
    match name.to_bytes() {
        b"all_reduce_one_shot" => Some(ONE_SHOT),
        b"all_reduce_ring" => Some(RING),
        _ => None,
    }
}

/// Keeps the launch, and runs all of them together once every rank's is there.
///
/// # Safety
/// The parameters must be of these sizes.
unsafe fn wait_for_ranks(
    function: &Function,
    sizes: &[usize],
    [blocks, threads]: [c_uint; 2],
    parameters: *mut *mut c_void,
) {
    let kept = sizes.iter().enumerate().map(|(index, &size)| {
        let mut bytes = [0; LONGEST];
        // SAFETY: as the caller says.
        unsafe {
            let from = (*parameters.add(index)).cast::<u8>();
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), size);
        }
        bytes
    });
    let kept: Vec<[u8; LONGEST]> = kept.collect();
    let ranks = kept[sizes.len() - 2];
    let ranks = u32::from_ne_bytes([ranks[0], ranks[1], ranks[2], ranks[3]]);
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.push(kept);
    if waiting.len() < ranks as usize {
        return;
    }
    let mut all = std::mem::take(&mut *waiting);
    let Some(run) = function.run else { return };
    let mut addresses: Vec<Vec<*mut c_void>> = all
        .iter_mut()
        .map(|each| each.iter_mut().map(|bytes| bytes.as_mut_ptr().cast()).collect())
        .collect();
    let mut tables: Vec<*mut *mut c_void> = addresses.iter_mut().map(|each| each.as_mut_ptr()).collect();
    let launch = Launch {
        grid: [blocks, 1, 1],
        block: [threads, 1, 1],
        dynamic_bytes: 0,
        seed: 1,
        grids: ranks,
        together: 1,
    };
    // SAFETY: a table for each rank, with an address for every parameter.
    unsafe { run(&raw const launch, tables.as_mut_ptr()) };
}

/// Loads any module.
///
/// # Safety
/// `module` must be valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut *mut c_void, _image: *const c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { put(module, thing()) }
}

/// Unloads it.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(_module: *mut c_void) -> c_int {
    SUCCESS
}

/// A function of any name.
///
/// # Safety
/// `function` must be valid for a write, and `name` end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(
    function: *mut *mut c_void,
    _module: *mut c_void,
    name: *const c_char,
) -> c_int {
    // SAFETY: as the caller says.
    let name = unsafe { CStr::from_ptr(name) }.to_owned();
    let run = runner(&name);
    // Functions live as long as the process: there are a few of them.
    let made: &'static mut Function = Box::leak(Box::new(Function { name, run }));
    // SAFETY: as the caller says.
    unsafe { put(function, (&raw mut *made).cast()) }
}

/// Allows a function whatever it wants.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(_function: *mut c_void, _attribute: c_int, _value: c_int) -> c_int {
    SUCCESS
}

/// Runs a kernel, and returns when it is done.
///
/// # Safety
/// The function must be one of these, and the parameters those of its kernel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: *mut c_void,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    _stream: *mut c_void,
    mut parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    // SAFETY: as the caller says.
    let function = unsafe { &*function.cast::<Function>() };
    if let Some(sizes) = waiting_sizes(&function.name) {
        // SAFETY: as the caller says.
        unsafe { wait_for_ranks(function, sizes, [grid_x, block_x], parameters) };
    } else if let Some(run) = function.run {
        let launch = Launch {
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            dynamic_bytes: shared_bytes,
            seed: 1,
            grids: 1,
            together: 0,
        };
        // SAFETY: the parameters are those of the kernel, an address for each.
        unsafe { run(&raw const launch, &raw mut parameters) };
    } else if mood() == "copies" && function.name.as_c_str() == c"bandwidth_copy" {
        // SAFETY: its parameters are two addresses and the number of pieces of 16 bytes, and it has them.
        unsafe {
            let from = *(*parameters).cast::<*const u8>();
            let to = *(*parameters.add(1)).cast::<*mut u8>();
            let pieces = *(*parameters.add(2)).cast::<i64>();
            std::ptr::copy(from, to, 16 * usize::try_from(pieces).unwrap_or(0));
        }
    }
    SUCCESS
}

/// Describes a matrix of two dimensions.
///
/// # Safety
/// `map` must be valid for a write, and every list hold as many numbers as there are dimensions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuTensorMapEncodeTiled(
    map: *mut c_void,
    _kind: c_int,
    _rank: c_uint,
    address: *mut c_void,
    extents: *const u64,
    strides: *const u64,
    boxes: *const c_uint,
    _steps: *const c_uint,
    _interleave: c_int,
    _swizzle: c_int,
    _promotion: c_int,
    _fill: c_int,
) -> c_int {
    // SAFETY: as the caller says.
    let (extents, row_bytes, boxes) = unsafe {
        (
            *extents.cast::<[u64; 2]>(),
            *strides,
            *boxes.cast::<[c_uint; 2]>(),
        )
    };
    let made = TensorMap {
        base: address,
        columns: extents[0],
        rows: extents[1],
        row_bytes,
        box_columns: boxes[0],
        box_rows: boxes[1],
        element_bytes: c_uint::try_from(row_bytes / extents[0].max(1)).unwrap_or(1),
        rest: [0; 84],
    };
    // SAFETY: as the caller says; both are 128 bytes, and the caller may align its own less.
    unsafe { map.cast::<TensorMap>().write_unaligned(made) };
    SUCCESS
}
