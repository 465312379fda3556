//! Builds a source for the CPU with a C++ compiler and launches its kernels.

use std::ffi::c_void;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::os::unix::Library;
use orrery_kernels::catalog::{HEADERS, Kernel, Source};
use orrery_kernels::{Bf16, E4m3};
use orrery_units::Seed;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// Whose turn it is: libraries hold one machine each.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A source, built for the CPU.
pub(crate) struct Emulator {
    library: Library,
    path: PathBuf,
}

/// Three extents of a grid or a block.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Extent(pub(crate) u32, pub(crate) u32, pub(crate) u32);

#[repr(C)]
struct Launch {
    grid: Extent,
    block: Extent,
    dynamic_bytes: u32,
    seed: u32,
    grids: u32,
    together: u32,
}

/// A matrix as bulk copies see it; the layout of `TensorMap` in emulator/instructions.hpp.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct TensorMap {
    base: *const c_void,
    columns: u64,
    rows: u64,
    row_bytes: u64,
    box_columns: u32,
    box_rows: u32,
    element_bytes: u32,
    rest: [u8; 84],
}

/// The tables of `Peers` in cuda/all_reduce.cu.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Peers {
    pub(crate) data: [*mut c_void; 8],
    pub(crate) flags: [*mut c_void; 8],
}

/// An argument of a kernel.
pub(crate) enum Argument {
    Pointer(*mut c_void),
    Int(i32),
    Unsigned(u32),
    Long(i64),
    UnsignedLong(u64),
    Float(f32),
    Map(TensorMap),
    Peers(Peers),
}

impl Argument {
    fn address(&mut self) -> *mut c_void {
        match self {
            Self::Pointer(value) => (&raw mut *value).cast(),
            Self::Int(value) => (&raw mut *value).cast(),
            Self::Unsigned(value) => (&raw mut *value).cast(),
            Self::Long(value) => (&raw mut *value).cast(),
            Self::UnsignedLong(value) => (&raw mut *value).cast(),
            Self::Float(value) => (&raw mut *value).cast(),
            Self::Map(value) => (&raw mut *value).cast(),
            Self::Peers(value) => (&raw mut *value).cast(),
        }
    }
}

/// What a kernel reads.
pub(crate) const fn read<T>(values: &[T]) -> Argument {
    Argument::Pointer(values.as_ptr().cast_mut().cast())
}

/// What a kernel writes.
pub(crate) const fn write<T>(values: &mut [T]) -> Argument {
    Argument::Pointer(values.as_mut_ptr().cast())
}

pub(crate) const NULL: Argument = Argument::Pointer(std::ptr::null_mut());

pub(crate) fn int(value: usize) -> Argument {
    Argument::Int(i32::try_from(value).expect("tests are small"))
}

/// The map of a matrix of `columns` wide rows, copied in boxes of `box_rows` x 128 bytes.
pub(crate) fn map<T>(values: &[T], columns: usize, box_rows: u32) -> Argument {
    let element_bytes = u32::try_from(size_of::<T>()).expect("numbers are small");
    Argument::Map(TensorMap {
        base: values.as_ptr().cast(),
        columns: columns as u64,
        rows: (values.len() / columns) as u64,
        row_bytes: (columns * size_of::<T>()) as u64,
        box_columns: 128 / element_bytes,
        box_rows,
        element_bytes,
        rest: [0; 84],
    })
}

impl Emulator {
    /// `source` for the CPU; none, and noted, where there is no C++ compiler.
    pub(crate) fn of(source: Source) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text = format!("#include \"emulator.hpp\"\n#include \"{}\"\n", source.file);
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.source() == source) {
            let name = kernel.name();
            text += &format!(
                "extern \"C\" void launch_{name}(const emulated::Launch *launch, void ***arguments) {{\n    \
                 emulated::launch({name}, *launch, arguments);\n}}\n\
                 extern \"C\" unsigned int sizes_{name}(unsigned int *sizes) {{\n    \
                 return emulated::sizes({name}, sizes);\n}}\n"
            );
        }
        Self::build(root, &text, source.file, source.text)
    }

    /// The C++ `text`, which names `file`, with what it includes of this package.
    pub(crate) fn build(root: &Path, text: &str, file: &str, body: &str) -> Option<Self> {
        let emulator = ["emulator/emulator.hpp", "emulator/instructions.hpp"];
        let emulator =
            emulator.map(|file| std::fs::read_to_string(root.join(file)).expect("it is part of the package"));
        let mut hash = Sha256::new();
        for part in [text, body].into_iter().chain(HEADERS.map(|header| header.text)) {
            hash.update(part);
        }
        emulator.iter().for_each(|part| hash.update(part));
        let hash: String = hash.finalize()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}-{hash}.so"));
        if !library.is_file() && !compile(root, text, &library) {
            return None;
        }
        // SAFETY: the library was built from this package's sources; it has no initialisers of consequence.
        let loaded = unsafe { Library::new(&library) }.expect("what was built loads");
        Some(Self {
            library: loaded,
            path: library,
        })
    }

    /// Where the library lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The function `name` of the library.
    pub(crate) fn function<T: Copy>(&self, name: &str) -> T {
        // SAFETY: the caller names the type that the text of the library gives this function.
        let found = unsafe { self.library.get::<T>(name.as_bytes()) };
        *found.unwrap_or_else(|fault| panic!("{name}: {fault}"))
    }

    /// Runs one launch of `kernel`.
    pub(crate) fn run(
        &self,
        kernel: Kernel,
        shape: (Extent, u32, usize),
        seed: u32,
        arguments: Vec<Argument>,
    ) {
        self.launch(kernel, shape, seed, vec![arguments], false);
    }

    /// Runs launches of `kernel` that see each other, as those of several devices do.
    pub(crate) fn run_together(
        &self,
        kernel: Kernel,
        shape: (Extent, u32, usize),
        seed: u32,
        arguments: Vec<Vec<Argument>>,
    ) {
        self.launch(kernel, shape, seed, arguments, true);
    }

    fn launch(
        &self,
        kernel: Kernel,
        (grid, threads, dynamic): (Extent, u32, usize),
        seed: u32,
        mut arguments: Vec<Vec<Argument>>,
        together: bool,
    ) {
        let expected = kernel.parameters().len();
        for each in &arguments {
            assert_eq!(each.len(), expected, "arguments of {}", kernel.name());
        }
        let launch = Launch {
            grid,
            block: Extent(threads, 1, 1),
            dynamic_bytes: u32::try_from(dynamic).expect("shared memory is small"),
            seed,
            grids: u32::try_from(arguments.len()).expect("there are few"),
            together: together.into(),
        };
        let mut addresses: Vec<Vec<*mut c_void>> = arguments
            .iter_mut()
            .map(|each| each.iter_mut().map(Argument::address).collect())
            .collect();
        let mut tables: Vec<*mut *mut c_void> = addresses.iter_mut().map(|each| each.as_mut_ptr()).collect();
        type Run = unsafe extern "C" fn(*const Launch, *mut *mut *mut c_void);
        let run: Run = self.function(&format!("launch_{}", kernel.name()));
        // A library runs one launch at a time.
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // SAFETY: the tables hold an address for every parameter, of the type that `Argument` has for it, and live
        // until the call returns; that what they point at is long enough is what the test gives.
        unsafe { run(&raw const launch, tables.as_mut_ptr()) };
    }
}

fn compile(root: &Path, text: &str, library: &Path) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("main.cpp");
    std::fs::write(&main, text).expect("a file");
    let built: PathBuf = library.with_extension(format!("{}.part", std::process::id()));
    let output = Command::new("g++")
        .args([
            "-std=c++17",
            "-O2",
            "-ffp-contract=off",
            "-fno-gnu-unique",
            "-fPIC",
            "-shared",
            "-w",
        ])
        .arg("-I")
        .arg(root.join("emulator"))
        .arg("-I")
        .arg(root.join("cuda"))
        .arg("-o")
        .args([&built, &main])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(fault) => {
            skip(&format!(
                "no C++ compiler to run kernels on the CPU: {fault}; install g++"
            ));
            return false;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::rename(built, library).expect("both lie in one folder");
    true
}

/// Notes what cannot run here; fails where it is required.
fn skip(reason: &str) {
    let required = std::env::var("ORRERY_REQUIRE").unwrap_or_default();
    assert!(
        required.split(',').all(|each| each != "g++"),
        "g++ is required: {reason}"
    );
    if let Some(skips) = std::env::var_os("ORRERY_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(skips);
        let mut file = file.expect("the file of skips can be appended to");
        writeln!(file, "g++: {reason}").expect("the file of skips can be written");
    }
}

/// Numbers from -range to range, drawn by name.
pub(crate) fn floats(name: &str, count: usize, range: f32) -> Vec<f32> {
    let mut rng = Seed::new(11).at(name, &[]).rng();
    (0..count).map(|_| rng.random_range(-range..range)).collect()
}

/// The same in bfloats.
pub(crate) fn bfloats(name: &str, count: usize) -> Vec<Bf16> {
    floats(name, count, 1.0).into_iter().map(Bf16::from_f32).collect()
}

/// Indices as kernels take them.
pub(crate) fn ints(values: &[usize]) -> Vec<i32> {
    values
        .iter()
        .map(|&value| i32::try_from(value).expect("tests are small"))
        .collect()
}

/// What results hold before a kernel writes them: no kernel writes a NaN.
pub(crate) fn poison() -> Bf16 {
    Bf16::from_f32(f32::NAN)
}

/// Fails unless both are near: within `share` of the larger of the expected number and its typical size.
pub(crate) fn near(said: &str, got: &[Bf16], expected: &[Bf16], share: f32) {
    assert_eq!(got.len(), expected.len(), "{said}");
    let square: f32 = expected.iter().map(|value| value.to_f32().powi(2)).sum();
    let typical = (square / expected.len().max(1) as f32).sqrt();
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected) = (got.to_f32(), expected.to_f32());
        let allowed = share * expected.abs().max(typical);
        assert!(
            (got - expected).abs() <= allowed,
            "{said}, number {at}: {got}, not {expected}"
        );
    }
}

/// Eight-bit numbers as they lie in memory.
pub(crate) fn bits(numbers: &[E4m3]) -> Vec<u8> {
    numbers.iter().map(|number| number.to_bits()).collect()
}
