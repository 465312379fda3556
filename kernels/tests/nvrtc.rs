//! Every kernel compiles for every architecture, wherever NVRTC can be had; without it nothing panics.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use object::{Architecture as Machine, Object as _, ObjectSection as _, ObjectSymbol as _};
use orrery_kernels::catalog::{Kernel, SOURCES, Source};
use orrery_kernels::compile::{Architecture, CompileError, Compiler, PINNED_WHEEL, Search};

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
            let required = std::env::var("ORRERY_REQUIRE").unwrap_or_default();
            assert!(
                required.split(',').all(|name| name != "nvrtc"),
                "nvrtc is required: {error}"
            );
            if let Some(skips) = std::env::var_os("ORRERY_SKIPS") {
                let mut file = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(skips)
                    .expect("the file of skips can be appended to");
                let reason = error.to_string().replace("\n  =", ",");
                writeln!(file, "nvrtc: {reason}").expect("the file of skips can be written");
            }
            None
        }
    }
}

#[test]
fn every_kernel_compiles_for_every_architecture() {
    let Some(compiler) = compiler() else { return };
    assert!(
        compiler.version() >= (11, 8),
        "{:?} knows no sm_90a",
        compiler.version()
    );
    for architecture in Architecture::ALL {
        for source in SOURCES {
            let cubin = compiler
                .cubin(&source, architecture)
                .unwrap_or_else(|error| panic!("{error}"));
            let file = object::File::parse(cubin.as_slice()).unwrap();
            assert_eq!(
                u16::from_le_bytes([cubin[18], cubin[19]]),
                190,
                "not a CUDA binary"
            );
            assert_eq!(file.architecture(), Machine::Unknown);
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.source() == source) {
                let name = kernel.name();
                let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
                assert!(
                    symbol.is_some_and(|symbol| symbol.is_global()),
                    "{name} for {architecture}"
                );
                let code = file.section_by_name(&format!(".text.{name}"));
                assert!(
                    code.is_some_and(|code| code.size() > 0),
                    "{name} for {architecture}"
                );
            }
        }
    }
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
