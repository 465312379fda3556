//! How busy the processors of the machine are, so that a reader sees when they, and not the links, are measured.

/// Processor time since the machine started, in ticks of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessorTime {
    all: u64,
    idle: u64,
}

impl ProcessorTime {
    /// As of now; none where the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Of the first line of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal …` (proc(5)). Time in
    /// which the machine waits for a disk is idle; guests are counted within `user`.
    fn of(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = numbers.take(8).map_while(|number| number.parse().ok()).collect();
        Some(Self {
            all: ticks.iter().sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
        })
    }

    /// Share of the time since `before` in which processors worked; none if no tick has passed.
    pub(crate) fn busy_since(self, before: Self) -> Option<f64> {
        let (all, idle) = (
            self.all.checked_sub(before.all)?,
            self.idle.saturating_sub(before.idle),
        );
        (all > 0).then(|| 1.0 - (idle as f64 / all as f64).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_ticks_is_a_quarter() {
        let before = ProcessorTime::of("cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        let after = ProcessorTime::of("cpu  110 0 65 1070 15 0 0 0 7 7\n").unwrap();
        assert_eq!(after.busy_since(before), Some(0.25));
        assert_eq!(before.busy_since(before), None, "no tick has passed");
        assert_eq!(ProcessorTime::of("something else"), None);
    }
}
