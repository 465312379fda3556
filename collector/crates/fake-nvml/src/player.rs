//! Plays a script: counts calls, moves tracks on, loses devices.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::script::{DeviceScript, Script, Track};

/// The status codes of NVML that are used here (`nvmlReturn_t` in nvml.h).
pub(crate) mod code {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const UNINITIALIZED: i32 = 1;
    pub(crate) const INVALID_ARGUMENT: i32 = 2;
    pub(crate) const NOT_SUPPORTED: i32 = 3;
    pub(crate) const INSUFFICIENT_SIZE: i32 = 7;
    pub(crate) const DRIVER_NOT_LOADED: i32 = 9;
    pub(crate) const GPU_IS_LOST: i32 = 15;
}

static PLAYER: Mutex<Option<Player>> = Mutex::new(None);

/// A script and how far each device has played it.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) script: Script,
    progress: Vec<Progress>,
}

/// How far one device has played.
#[derive(Clone, Debug, Default)]
struct Progress {
    answered: u64,
    /// Position in each track, by the track's number.
    positions: [usize; Call::COUNT],
}

/// The calls that have a track.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Utilization,
    Memory,
    Power,
    PowerLimit,
    Energy,
    SmClock,
    MemoryClock,
    Temperature,
    Throttle,
}

impl Call {
    const COUNT: usize = 9;
}

/// Loads the script, unless one is playing.
pub(crate) fn start() -> Result<(), i32> {
    let mut player = lock();
    if player.is_none() {
        // A fake without a script behaves like a machine without a driver.
        let script = Script::load().map_err(|_words| code::DRIVER_NOT_LOADED)?;
        let progress = vec![Progress::default(); script.devices.len()];
        *player = Some(Player { script, progress });
    }
    Ok(())
}

/// Asks the script; fails when none is playing.
pub(crate) fn ask<T>(question: impl FnOnce(&mut Player) -> Result<T, i32>) -> Result<T, i32> {
    question(lock().as_mut().ok_or(code::UNINITIALIZED)?)
}

fn lock() -> MutexGuard<'static, Option<Player>> {
    PLAYER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Player {
    /// Device number `device`, if it is not lost; counts the call.
    pub(crate) fn device(&mut self, device: usize) -> Result<&DeviceScript, i32> {
        let script = self.script.devices.get(device).ok_or(code::INVALID_ARGUMENT)?;
        let progress = &mut self.progress[device];
        if script.lost_after.is_some_and(|calls| progress.answered >= calls) {
            return Err(code::GPU_IS_LOST);
        }
        progress.answered += 1;
        Ok(script)
    }

    /// The next answer of device number `device` to `call`.
    pub(crate) fn next<T: Copy>(
        &mut self,
        device: usize,
        call: Call,
        track: impl FnOnce(&DeviceScript) -> &Track<T>,
    ) -> Result<T, i32> {
        self.device(device)?;
        let position = &mut self.progress[device].positions[call as usize];
        let track = track(&self.script.devices[device]);
        let last = track.len().checked_sub(1).ok_or(code::NOT_SUPPORTED)?;
        let answer = track[(*position).min(last)];
        *position += 1;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(device: &str) -> Player {
        let text = format!(r#"{{"driver":"580.95.05","devices":[{device}]}}"#);
        let script: Script = serde_json::from_str(&text).unwrap();
        let progress = vec![Progress::default(); script.devices.len()];
        Player { script, progress }
    }

    #[test]
    fn a_track_is_played_and_its_last_answer_stays() {
        let mut player = player(r#"{"name":"a","uuid":"b","power_milliwatts":[1,2]}"#);
        let answers: Vec<_> = (0..3)
            .map(|_| player.next(0, Call::Power, |device| &device.power_milliwatts))
            .collect();
        assert_eq!(answers, [Ok(1), Ok(2), Ok(2)]);
        let energy = player.next(0, Call::Energy, |device| &device.energy_millijoules);
        assert_eq!(energy, Err(code::NOT_SUPPORTED));
    }

    #[test]
    fn a_lost_device_stays_lost() {
        let mut player = player(r#"{"name":"a","uuid":"b","lost_after":1,"power_milliwatts":[1]}"#);
        let mut ask = || player.next(0, Call::Power, |device| &device.power_milliwatts);
        assert_eq!(ask(), Ok(1));
        assert_eq!(ask(), Err(code::GPU_IS_LOST));
        assert_eq!(ask(), Err(code::GPU_IS_LOST));
    }
}
