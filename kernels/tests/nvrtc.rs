//! Every kernel compiles for every architecture, wherever NVRTC can be had; without it nothing panics.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use object::{Architecture as Machine, Object as _, ObjectSection as _, ObjectSymbol as _};
use orrery_kernels::catalog::{Kernel, SOURCES, Source};
use orrery_kernels::compile::{Architecture, Cache, CompileError, Compiler, PINNED_WHEEL, Search};

fn search() -> Search {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(PathBuf::from("target"), PathBuf::from);
    Search {
        given: std::env::var_os("ORRERY_NVRTC").map(PathBuf::from),
        // An absolute target folder replaces the workspace in this join.
        wheel_roots: vec![workspace.join(target).join("nvrtc")],
        system: true,
    }
}

/// NVRTC, or none once the reason has been written where skips are counted.
fn compiler() -> Option<Compiler> {
    match Compiler::load(&search()) {
        Ok(compiler) => Some(compiler),
        Err(error) => {
            skip("nvrtc", &error.to_string().replace("\n  =", ","));
            None
        }
    }
}

/// Notes what cannot run here; fails where it is required.
fn skip(name: &str, reason: &str) {
    let required = std::env::var("ORRERY_REQUIRE").unwrap_or_default();
    assert!(
        required.split(',').all(|each| each != name),
        "{name} is required: {reason}"
    );
    if let Some(skips) = std::env::var_os("ORRERY_SKIPS") {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(skips)
            .expect("the file of skips can be appended to");
        writeln!(file, "{name}: {reason}").expect("the file of skips can be written");
    }
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let Some(compiler) = compiler() else { return };
    assert!(
        compiler.version() >= (12, 8),
        "{:?} knows no sm_100a",
        compiler.version()
    );
    for architecture in Architecture::ALL {
        for source in SOURCES {
            let compiled = compiler
                .compile(&source, architecture)
                .unwrap_or_else(|error| panic!("{error}"));
            let said = format!("{} for {architecture}", source.file);
            assert_eq!(compiled.messages, "", "{said}");
            check_cubin(&compiled.cubin, &source, architecture);
            for usage in &compiled.usage {
                let kernel = Kernel::ALL
                    .into_iter()
                    .find(|kernel| kernel.name() == usage.kernel);
                let kernel = kernel.unwrap_or_else(|| panic!("{} is not in the catalogue", usage.kernel));
                if kernel.is_hot(architecture) {
                    assert!(!usage.spills(), "{said}: {usage:?}");
                }
            }
        }
    }
}

/// A CUDA binary that holds the code of each of the source's kernels, and of no other.
fn check_cubin(cubin: &[u8], source: &Source, architecture: Architecture) {
    let file = object::File::parse(cubin).expect("a CUBIN is ELF");
    assert_eq!(
        u16::from_le_bytes([cubin[18], cubin[19]]),
        190,
        "not a CUDA binary"
    );
    assert_eq!(file.architecture(), Machine::Unknown, "a machine of its own");
    for kernel in Kernel::ALL
        .into_iter()
        .filter(|kernel| kernel.source() == *source)
    {
        let name = kernel.name();
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
        let code = file.section_by_name(&format!(".text.{name}"));
        let there =
            symbol.is_some_and(|symbol| symbol.is_global()) && code.is_some_and(|code| code.size() > 0);
        assert_eq!(there, kernel.runs_on(architecture), "{name} for {architecture}");
    }
}

/// Instructions that a kernel must hold: without them it does not run on the units that it was written for.
const INSTRUCTIONS: [(Kernel, Architecture, &[&str]); 12] = [
    (
        Kernel::Router,
        Architecture::Sm80,
        &["HMMA.16816.F32.BF16", "LDGSTS"],
    ),
    (
        Kernel::GemmBf16,
        Architecture::Sm80,
        &["HMMA.16816.F32.BF16", "LDSM.16.M88.4"],
    ),
    (
        Kernel::GemmBf16,
        Architecture::Sm89,
        &["HMMA.16816.F32.BF16", "LDGSTS"],
    ),
    (
        Kernel::GemmFp8,
        Architecture::Sm89,
        &["QMMA.16832.F32.E4M3.E4M3", "LDSM.16.M88.4"],
    ),
    (
        Kernel::GroupedGemmTensor,
        Architecture::Sm80,
        &["HMMA.16816.F32.BF16"],
    ),
    (
        Kernel::GroupedGemmTensor,
        Architecture::Sm90a,
        &["HMMA.16816.F32.BF16"],
    ),
    (Kernel::Router, Architecture::Sm90a, &["HMMA.16816.F32.BF16"]),
    (
        Kernel::HopperBf16,
        Architecture::Sm90a,
        &["HGMMA.64x128x16.F32.BF16", "UTMALDG.2D", "USETMAXREG"],
    ),
    (
        Kernel::HopperFp8,
        Architecture::Sm90a,
        &["QGMMA.64x128x32.F32.E4M3.E4M3", "UTMALDG.2D", "USETMAXREG"],
    ),
    (
        Kernel::BlackwellBf16,
        Architecture::Sm100a,
        &["UTCHMMA", "UTMALDG.2D", "LDTM"],
    ),
    (
        Kernel::BlackwellFp8,
        Architecture::Sm100a,
        &["UTCQMMA", "UTMALDG.2D", "LDTM"],
    ),
    (Kernel::Swiglu, Architecture::Sm90a, &["LDG.E.128", "STG.E.128"]),
];

/// The code of `kernel`, as the disassembler prints it.
fn disassembled(disassembler: &Path, cubin: &[u8], kernel: Kernel) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(cubin).expect("it can be written");
    let output = std::process::Command::new(disassembler)
        .arg(file.path())
        .output()
        .expect("the disassembler runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let opening = format!(".text.{}:", kernel.name());
    let (_, code) = text
        .split_once(&opening)
        .unwrap_or_else(|| panic!("{opening} {}", String::from_utf8_lossy(&output.stderr)));
    code.split("\n.text.").next().unwrap_or_default().to_owned()
}

#[test]
fn machine_code_uses_tensor_cores_and_bulk_copies() {
    let Some(compiler) = compiler() else { return };
    let disassembler = search().wheel_roots[0].join("nvidia/cu13/bin/nvdisasm");
    if !disassembler.is_file() {
        skip("nvdisasm", "kernels/fetch-nvrtc.sh fetches the disassembler");
        return;
    }
    for (kernel, architecture, wanted) in INSTRUCTIONS {
        let cubin = compiler.cubin(&kernel.source(), architecture).unwrap();
        let code = disassembled(&disassembler, &cubin, kernel);
        for instruction in wanted {
            assert!(
                code.contains(instruction),
                "{} for {architecture} has no {instruction}",
                kernel.name()
            );
        }
        if kernel.is_hot(architecture) {
            let spilled = code
                .lines()
                .find(|line| line.contains("STL") || line.contains("LDL"));
            assert_eq!(spilled, None, "{} for {architecture}", kernel.name());
        }
    }
}

#[test]
fn a_cubin_is_compiled_once_and_a_broken_file_again() {
    // The first test records the skip.
    let Ok(compiler) = Compiler::load(&search()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().join("kept"));
    let source = SOURCES[SOURCES.len() - 1];
    let path = cache.path(&source, Architecture::Sm80, compiler.version());
    let first = cache.cubin(&compiler, &source, Architecture::Sm80).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    // What is kept is taken: a mark in the padding of its header survives.
    let mut marked = first.clone();
    marked[9] ^= 0x40;
    std::fs::write(&path, &marked).unwrap();
    assert_eq!(
        cache.cubin(&compiler, &source, Architecture::Sm80).unwrap(),
        marked
    );
    std::fs::write(&path, &first[..40]).unwrap();
    assert_eq!(
        cache.cubin(&compiler, &source, Architecture::Sm80).unwrap(),
        first
    );
    assert_eq!(std::fs::read(&path).unwrap(), first);
}

#[test]
fn a_fault_in_a_source_comes_with_its_line() {
    // The other test records the skip.
    let Ok(compiler) = Compiler::load(&search()) else {
        return;
    };
    let faulty = Source {
        file: "faulty.cu",
        text: "#include \"moe.cuh\"\nextern \"C\" __global__ void wrong() { undeclared = 1; }\n",
    };
    let error = compiler.cubin(&faulty, Architecture::Sm80).unwrap_err();
    assert!(matches!(error, CompileError::Refused { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("faulty.cu(2)") && text.contains("undeclared"),
        "{text}"
    );
}

#[test]
fn a_missing_library_names_the_fix() {
    let nowhere = Search {
        given: Some(PathBuf::from("no/such/libnvrtc.so.12")),
        ..Search::default()
    };
    for search in [nowhere, Search::default()] {
        let error = Compiler::load(&search).unwrap_err().to_string();
        assert!(error.contains(&format!("pip install {PINNED_WHEEL}")), "{error}");
    }
}

#[test]
fn a_file_that_is_no_library_is_named() {
    let given = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    let error = Compiler::load(&Search {
        given,
        ..Search::default()
    })
    .unwrap_err();
    assert!(matches!(error, CompileError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
}

#[test]
fn the_script_fetches_the_pinned_wheel() {
    let script = include_str!("../fetch-nvrtc.sh");
    assert!(script.contains(&format!("wheel=\"{PINNED_WHEEL}\"\n")));
}
