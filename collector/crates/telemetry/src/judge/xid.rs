//! The driver's events by what they ask for.
//!
//! From NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors), its columns "Immediate Action" and
//! "Investigatory Action", put into the five things that an operator can do.

/// What an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum XidClass {
    /// Nothing of the device: the program did something that the driver stopped, or was stopped by something else.
    Application,
    /// The device repaired itself; a reset at the next occasion makes it good.
    Watch,
    /// The device needs a reset before it is used again.
    Reset,
    /// The node has to be rebooted, and the device be looked at.
    Reboot,
    /// The device has to be replaced.
    Replace,
}

/// What is known of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xid {
    /// Its code.
    pub code: u32,
    /// What it asks for.
    pub class: XidClass,
    /// What it is.
    pub what: &'static str,
}

const fn xid(code: u32, class: XidClass, what: &'static str) -> Xid {
    Xid { code, class, what }
}

use XidClass::{Application, Reboot, Replace, Reset, Watch};

/// The events that have a class of their own.
const KNOWN: [Xid; 43] = [
    xid(8, Application, "the device stopped processing a program's work"),
    xid(11, Application, "a program sent corrupted commands"),
    xid(13, Application, "a kernel faulted (graphics engine exception)"),
    xid(31, Application, "a kernel touched memory that is not its own"),
    xid(32, Application, "a program sent corrupted commands (PBDMA)"),
    xid(37, Application, "the driver's firmware refused a program's work"),
    xid(38, Reset, "the driver's firmware failed"),
    xid(43, Application, "a program's channel was reset after it faulted"),
    xid(
        45,
        Application,
        "channels were taken down after an earlier fault, or a program was killed",
    ),
    xid(46, Reset, "the device stopped processing"),
    xid(
        48,
        Reset,
        "memory returned data that could not be corrected (double-bit ECC)",
    ),
    xid(54, Reboot, "the auxiliary power of the board is not connected"),
    xid(61, Reset, "the internal micro-controller broke"),
    xid(62, Reset, "the internal micro-controller halted"),
    xid(
        63,
        Watch,
        "a row of memory was marked to be replaced at the next reset",
    ),
    xid(64, Replace, "a row of memory could not be replaced"),
    xid(68, Application, "the video decoder faulted"),
    xid(69, Application, "a kernel faulted (graphics engine class error)"),
    xid(74, Reset, "an NVLink failed"),
    xid(78, Reboot, "a virtual device could not be started"),
    xid(79, Reboot, "the device fell off the bus"),
    xid(92, Watch, "many single-bit errors of memory were corrected"),
    xid(
        94,
        Watch,
        "a memory error was contained: one program lost its work",
    ),
    xid(
        95,
        Reset,
        "a memory error was not contained: any program may have lost its work",
    ),
    xid(109, Reset, "a context switch took too long"),
    xid(110, Reboot, "a security fault"),
    xid(119, Reset, "the device's system processor (GSP) does not answer"),
    xid(120, Reset, "the device's system processor (GSP) failed"),
    xid(121, Watch, "a C2C link had an error that was corrected"),
    xid(123, Reset, "the power management unit failed"),
    xid(136, Reset, "the link to a peer could not be trained"),
    xid(
        137,
        Application,
        "a peer touched memory over NVLink that is not its own",
    ),
    xid(140, Reset, "an unrecovered memory error"),
    xid(143, Reset, "the device could not be initialised"),
    xid(144, Reset, "an NVLink failed (SAW)"),
    xid(145, Reset, "an NVLink failed (RLW)"),
    xid(146, Reset, "an NVLink failed (TLW)"),
    xid(147, Reset, "an NVLink failed (TREX)"),
    xid(148, Reset, "an NVLink failed (NVLPW_CTRL)"),
    xid(149, Reset, "an NVLink failed (NETIR)"),
    xid(150, Reset, "an NVLink failed (MSE)"),
    xid(154, Watch, "the recovery that the device asks for has changed"),
    xid(158, Reset, "a fatal timeout of the device"),
];

impl Xid {
    /// What is known of the event `code`. One that is not in the table asks for a reset, and to be looked up: most
    /// codes that were added since are faults of hardware or firmware.
    #[must_use]
    pub fn of(code: u32) -> Self {
        let known = KNOWN.iter().find(|xid| xid.code == code).copied();
        known.unwrap_or_else(|| {
            xid(
                code,
                Reset,
                "an event that is not in the table: see NVIDIA's Xid catalogue",
            )
        })
    }
}

impl XidClass {
    /// What to do.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Application => {
                "look at the program, not at the device: its log has the kernel, `compute-sanitizer` the line; only if \
                 other programs fail on this device too, reset it"
            }
            Watch => {
                "let the job end, then reset the device (`nvidia-smi --gpu-reset`); a program that lost its work has \
                 to be started again"
            }
            Reset => {
                "drain the node, reset the device (`nvidia-smi --gpu-reset`, with nothing that uses it), then run \
                 `orrery-collector check`; if it comes back, have the device replaced"
            }
            Reboot => {
                "drain the node and reboot it; look at the power cables and the seat of the board; if it comes back, \
                 have the device replaced"
            }
            Replace => "drain the node and have the device replaced",
        }
    }

    /// Whether the fault is the program's.
    #[must_use]
    pub const fn is_application(self) -> bool {
        matches!(self, Application)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn a_program_s_fault_is_no_reason_to_replace_a_device() {
        for code in [13, 31, 43, 45] {
            assert_eq!(Xid::of(code).class, Application, "{code}");
        }
        assert_eq!(Xid::of(64).class, Replace);
        assert_eq!(Xid::of(79).class, Reboot);
        assert_eq!(Xid::of(95).class, Reset);
        assert_eq!(Xid::of(9999).class, Reset);
    }
}
