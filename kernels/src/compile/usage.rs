//! What a kernel uses, as the assembler says it in the compiler's log.

/// Registers and memory of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The symbol.
    pub kernel: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of local memory of a thread: arrays that no register can index, and spills.
    pub stack_bytes: u32,
    /// Bytes of registers written to memory for want of registers.
    pub spill_stores: u32,
    /// Bytes of them read back.
    pub spill_loads: u32,
}

impl Usage {
    /// Whether registers were written to memory.
    #[must_use]
    pub const fn spills(&self) -> bool {
        self.spill_stores + self.spill_loads > 0
    }
}

const PROPERTIES: &str = "Function properties for ";

/// Usage of every kernel, and the lines that say something else.
pub(super) fn read(log: &str) -> (Vec<Usage>, String) {
    let mut found: Vec<Usage> = Vec::new();
    let mut messages = String::new();
    for line in log.lines() {
        if let Some((_, kernel)) = line.split_once(PROPERTIES) {
            found.push(Usage {
                kernel: kernel.trim().to_owned(),
                ..Usage::default()
            });
        } else if let (Some(last), true) = (found.last_mut(), line.contains("bytes stack frame")) {
            let numbers: Vec<u32> = numbers(line).collect();
            if let [stack, stores, loads, ..] = numbers[..] {
                (last.stack_bytes, last.spill_stores, last.spill_loads) = (stack, stores, loads);
            }
        } else if let (Some(last), true) = (found.last_mut(), line.contains(" registers")) {
            last.registers = numbers(line).next().unwrap_or(0);
        } else if !line.contains("ptxas info    :") || line.contains("Potential Performance Loss") {
            messages.push_str(line);
            messages.push('\n');
        }
    }
    (found, messages.trim().to_owned())
}

fn numbers(line: &str) -> impl Iterator<Item = u32> {
    let words = line.split(|letter: char| !letter.is_ascii_digit());
    words.filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = "a.cu(3): warning #177-D: unused\n\
            ptxas info    : 0 bytes gmem\n\
            ptxas info    : Compiling entry function 'first' for 'sm_90a'\n\
            ptxas info    : Function properties for first\n\
            ptxas         .     688 bytes stack frame, 272 bytes spill stores, 268 bytes spill loads\n\
            ptxas info    : Used 168 registers, used 1 barriers, 688 bytes cumulative stack size\n\
            ptxas info    : Compile time = 165.233 ms\n";
        let (usage, messages) = read(log);
        let expected = Usage {
            kernel: "first".to_owned(),
            registers: 168,
            stack_bytes: 688,
            spill_stores: 272,
            spill_loads: 268,
        };
        assert_eq!(usage, [expected]);
        assert!(usage[0].spills());
        assert_eq!(messages, "a.cu(3): warning #177-D: unused");
    }
}
