//! Kernels: those that a library of kernels built for the CPU has are run by it, others do nothing.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use std::sync::{Mutex, PoisonError};

use crate::journal::note;
use crate::stream::enqueue;
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
    /// Bytes of each of its parameters, where they are looked at.
    sizes: Vec<usize>,
}

/// A parameter of a launch, as it was when the launch was made.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Parameter([u8; LONGEST]);

/// A launch, as often as it is done.
#[derive(Clone)]
struct Launched {
    function: &'static Function,
    grid: [c_uint; 3],
    block: [c_uint; 3],
    dynamic_bytes: c_uint,
    parameters: Vec<Parameter>,
}

type Run = unsafe extern "C" fn(*const Launch, *mut *mut *mut c_void);
/// Writes the bytes of each parameter, and returns how many there are; writes nothing where it is given no place.
type Sizes = unsafe extern "C" fn(*mut c_uint) -> c_uint;

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

/// The function `what` of the kernel `name`, as an address, if a library has it.
fn found(what: &str, name: &CStr) -> Option<*mut c_void> {
    let libraries = std::env::var("ORRERY_FAKE_CUDA_KERNELS").ok()?;
    let wanted = CString::new(format!("{what}_{}", name.to_str().ok()?)).ok()?;
    libraries.split(':').find_map(|path| {
        let path = CString::new(path).ok()?;
        // SAFETY: the library is one of kernels, built for tests; both texts end with a zero.
        let found = unsafe {
            let library = dlopen(path.as_ptr(), NOW);
            (!library.is_null()).then(|| dlsym(library, wanted.as_ptr()))?
        };
        (!found.is_null()).then_some(found)
    })
}

/// The function that runs the kernel `name`, if a library has it.
fn runner(name: &CStr) -> Option<Run> {
    // SAFETY: every function of this name has this type.
    found("launch", name).map(|found| unsafe { std::mem::transmute::<*mut c_void, Run>(found) })
}

/// Bytes of each parameter of the kernel `name`; none of a kernel that does nothing.
fn sizes(name: &CStr) -> Vec<usize> {
    if let Some(found) = found("sizes", name) {
        // SAFETY: every function of this name has this type.
        let sizes = unsafe { std::mem::transmute::<*mut c_void, Sizes>(found) };
        // SAFETY: the second call writes as many numbers as the first one says.
        let told = unsafe {
            let mut told = vec![0; sizes(std::ptr::null_mut()) as usize];
            sizes(told.as_mut_ptr());
            told
        };
        return told.into_iter().map(|size| size as usize).collect();
    }
    if is_copy(name) { vec![8; 3] } else { Vec::new() }
}

/// Whether it is the plain copy, and done although no library has it.
fn is_copy(name: &CStr) -> bool {
    mood() == "copies" && name == c"bandwidth_copy"
}

/// Bytes of a parameter, at most.
const LONGEST: usize = 128;

/// Launches that wait for those of other ranks.
static WAITING: Mutex<Vec<Launched>> = Mutex::new(Vec::new());

/// Kernels whose ranks wait for each other: of their parameters the last three are the rank, how many there are, and the
/// number of the launch.
fn is_of_ranks(name: &CStr) -> bool {
    [c"all_reduce_one_shot", c"all_reduce_ring"].contains(&name)
}

impl Launched {
    /// What the caller gives, as it is now.
    ///
    /// # Safety
    /// There must be an address for each parameter, of as many bytes as it has.
    unsafe fn keep(function: &'static Function, shape: [[c_uint; 3]; 2], given: *mut *mut c_void) -> Self {
        let kept = function.sizes.iter().enumerate().map(|(index, &size)| {
            let mut bytes = [0; LONGEST];
            // SAFETY: as the caller says.
            unsafe {
                let from = (*given.add(index)).cast::<u8>();
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), size);
            }
            Parameter(bytes)
        });
        Self {
            function,
            grid: shape[0],
            block: shape[1],
            dynamic_bytes: 0,
            parameters: kept.collect(),
        }
    }

    /// A line that says what is done.
    fn line(&self) -> String {
        let mut line = format!(
            "{} {:?} {:?}",
            self.function.name.to_string_lossy(),
            self.grid,
            self.block
        );
        for (Parameter(bytes), &size) in self.parameters.iter().zip(&self.function.sizes) {
            line.push(' ');
            let digits = bytes[..size].iter().rev().map(|byte| format!("{byte:02x}"));
            line.extend(digits);
        }
        line
    }

    /// The word at the beginning of a parameter.
    fn word(&self, index: usize) -> u32 {
        let Parameter(bytes) = &self.parameters[index];
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Does it; launches of several ranks once every rank's is there.
    fn run(&self) -> c_int {
        note(&self.line());
        if is_of_ranks(&self.function.name) && !self.parameters.is_empty() {
            let ranks = self.word(self.parameters.len() - 2);
            let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(self.clone());
            if waiting.len() >= ranks as usize {
                together(&mut std::mem::take(&mut *waiting));
            }
        } else if self.function.run.is_some() {
            together(std::slice::from_mut(&mut self.clone()));
        } else if is_copy(&self.function.name) {
            let long = |index: usize| {
                let Parameter(bytes) = &self.parameters[index];
                u64::from_ne_bytes(std::array::from_fn(|at| bytes[at]))
            };
            let bytes = 16 * usize::try_from(long(2)).unwrap_or(0);
            // SAFETY: its parameters are two addresses and the number of pieces of 16 bytes.
            unsafe { std::ptr::copy(long(0) as *const u8, long(1) as *mut u8, bytes) };
        }
        SUCCESS
    }
}

/// Runs launches of one kernel that see each other, or one alone.
fn together(all: &mut [Launched]) {
    let Some(first) = all.first() else { return };
    let Some(run) = first.function.run else { return };
    let launch = Launch {
        grid: first.grid,
        block: first.block,
        dynamic_bytes: first.dynamic_bytes,
        seed: 1,
        grids: c_uint::try_from(all.len()).unwrap_or(1),
        together: c_uint::from(is_of_ranks(&first.function.name)),
    };
    let mut addresses: Vec<Vec<*mut c_void>> = all
        .iter_mut()
        .map(|each| {
            let parameters = each.parameters.iter_mut();
            parameters
                .map(|Parameter(bytes)| bytes.as_mut_ptr().cast())
                .collect()
        })
        .collect();
    let mut tables: Vec<*mut *mut c_void> = addresses.iter_mut().map(|each| each.as_mut_ptr()).collect();
    // SAFETY: a table for each launch, with an address for every parameter.
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
    let (run, sizes) = (runner(&name), sizes(&name));
    // Functions live as long as the process: there are a few of them.
    let made: &'static mut Function = Box::leak(Box::new(Function { name, run, sizes }));
    // SAFETY: as the caller says.
    unsafe { put(function, (&raw mut *made).cast()) }
}

/// Allows a function whatever it wants.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(_function: *mut c_void, _attribute: c_int, _value: c_int) -> c_int {
    SUCCESS
}

/// Runs a kernel, and returns when it is done, or keeps it for the graph that is captured.
///
/// # Safety
/// The function must be one of these, the parameters those of its kernel, and the stream one of these.
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
    stream: *mut c_void,
    parameters: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> c_int {
    let shape = [[grid_x, grid_y, grid_z], [block_x, block_y, block_z]];
    // SAFETY: as the caller says; functions live as long as the process.
    let mut launched = unsafe { Launched::keep(&*function.cast::<Function>(), shape, parameters) };
    launched.dynamic_bytes = shared_bytes;
    // SAFETY: as the caller says.
    unsafe { enqueue(stream, move || launched.run()) }
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
