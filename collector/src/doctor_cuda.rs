//! What `doctor` says of CUDA: which library is missing, what for, and how to get it. A worker looks; nothing is called here.

use std::fmt::Write as _;
use std::time::Duration;

use orrery_kernels::compile::PINNED_WHEEL;
use orrery_kernels::device::Libraries;

use crate::calibrate::{Answer, Order, Supervisor};
use crate::doctor::{INDENT, NAME};

/// Longest that a worker may take to look.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines for every library, as a worker of this command finds them.
pub(crate) fn text(worker: Vec<String>) -> String {
    let mut supervisor = Supervisor::new(worker, PATIENCE);
    match supervisor.ask(&Order::Libraries, Duration::ZERO) {
        Ok(Answer::Libraries { found, nvrtc }) => lines(found, &nvrtc),
        Ok(other) => format!("cuda     cannot be looked at: the worker answered {other:?}\n"),
        Err(fault) => format!("cuda     cannot be looked at: {fault}\n"),
    }
}

fn lines(found: Libraries, nvrtc: &Result<String, String>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, is_there: bool, needs: &str, remedy: &str| {
        let state = if is_there {
            "found".to_owned()
        } else {
            format!("ABSENT: {needs}\n{INDENT}what to do: {remedy}")
        };
        writeln!(text, "{name:<NAME$}{state}").expect("a string takes every text");
    };
    line(
        "cuda",
        found.driver,
        "no `libcuda.so.1`; `calibrate` measures nothing without it",
        "install the NVIDIA driver; in a container run with `--gpus all`",
    );
    match nvrtc {
        Ok(version) => line("nvrtc", true, version, ""),
        Err(reason) => {
            let reason = reason.lines().next().unwrap_or_default();
            let remedy =
                format!("pip install {PINNED_WHEEL} and give its folder with `--nvrtc` or ORRERY_NVRTC");
            line(
                "nvrtc",
                false,
                &format!("{reason}; kernels cannot be compiled"),
                &remedy,
            );
        }
    }
    let wheel = "pip install nvidia-cublas-cu12 (or -cu13, as the driver's major version), and put its `lib` folder on \
                 LD_LIBRARY_PATH";
    line(
        "cublas",
        found.cublas,
        "no `libcublas.so`; grouped baselines are left out",
        wheel,
    );
    line(
        "cublaslt",
        found.cublaslt,
        "no `libcublasLt.so`; dense products, the yardstick, are left out",
        wheel,
    );
    let (needs, remedy) = if found.nccl_by_version {
        (
            "`libnccl.so.2` is there, under a name that is not looked for",
            "link it in a folder of your own, `ln -s …/libnccl.so.2 FOLDER/libnccl.so`, and put FOLDER on LD_LIBRARY_PATH",
        )
    } else {
        (
            "no `libnccl.so`; collectives of devices are left out",
            "pip install nvidia-nccl-cu12, link its `libnccl.so.2` as `libnccl.so`, and put that folder on LD_LIBRARY_PATH",
        )
    };
    line("nccl", found.nccl, needs, remedy);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_library_has_a_remedy() {
        let text = lines(
            Libraries::default(),
            &Err("NVRTC was not found: looked in x\n  = help: y".to_owned()),
        );
        assert_eq!(text.matches("ABSENT: ").count(), 5, "{text}");
        assert_eq!(text.matches("what to do: ").count(), 5, "{text}");
        assert!(
            text.contains("NVRTC was not found: looked in x; kernels"),
            "{text}"
        );
        assert!(text.contains(PINNED_WHEEL), "{text}");
    }

    /// Runtime containers and wheels hold `libnccl.so.2` alone, which the bindings never ask for.
    #[test]
    fn the_name_of_nccl_is_explained() {
        let found = Libraries {
            nccl_by_version: true,
            driver: true,
            ..Libraries::default()
        };
        let text = lines(found, &Ok("12.9".to_owned()));
        assert!(
            text.contains("nccl     ABSENT: `libnccl.so.2` is there, under a name that is not looked for"),
            "{text}"
        );
        assert!(text.contains("ln -s …/libnccl.so.2 FOLDER/libnccl.so"), "{text}");
        assert!(text.starts_with("cuda     found\nnvrtc    found\n"), "{text}");
    }
}
