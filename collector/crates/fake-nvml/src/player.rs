//! Plays a script: counts calls, moves tracks on, loses devices and finds them again, unloads, hangs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::script::{DeviceScript, Numbering, Script, Track};

/// The status codes of NVML that are used here (`nvmlReturn_t` in nvml.h).
pub(crate) mod code {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const UNINITIALIZED: i32 = 1;
    pub(crate) const INVALID_ARGUMENT: i32 = 2;
    pub(crate) const NOT_SUPPORTED: i32 = 3;
    pub(crate) const NOT_FOUND: i32 = 6;
    pub(crate) const INSUFFICIENT_SIZE: i32 = 7;
    pub(crate) const DRIVER_NOT_LOADED: i32 = 9;
    pub(crate) const TIMEOUT: i32 = 10;
    pub(crate) const FUNCTION_NOT_FOUND: i32 = 13;
    pub(crate) const GPU_IS_LOST: i32 = 15;
}

static PLAYER: Mutex<Option<Player>> = Mutex::new(None);

/// A script and how far each device has played it.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) script: Script,
    numbering: Numbering,
    progress: Vec<Progress>,
    /// Starts without their shutdown: NVML counts them, and only the first of them looks for devices.
    num_open: u64,
    is_unloaded: bool,
    /// Starts that looked for devices.
    num_starts: u64,
    /// Calls about devices.
    num_calls: u64,
    has_unloaded: bool,
    has_hung: bool,
    /// The device that the call now is about.
    asked: Option<usize>,
    /// How many of each of the script's errors were told.
    num_told: Vec<u64>,
}

/// How far one device has played.
#[derive(Clone, Debug, Default)]
struct Progress {
    answered: u64,
    /// The start in which the device was lost.
    lost_in: Option<u64>,
    is_back: bool,
    /// Questions for a name or a UUID.
    num_asked_for_name: u64,
    has_hung: bool,
    /// Position in each track that was asked for.
    positions: BTreeMap<Call, usize>,
}

/// The calls that have a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    PerformanceState,
    PcieReplays,
    /// By kind of error (0 corrected, 1 not) and of counter (0 volatile, 1 aggregate).
    Ecc(u32, u32),
    /// By number and scope.
    Field(u32, u32),
}

/// Loads the script, unless one is playing, and counts the start.
pub(crate) fn start() -> Result<(), i32> {
    let mut player = lock();
    if player.is_none() {
        // A fake without a script behaves like a machine without a driver.
        let script = Script::load().map_err(|_words| code::DRIVER_NOT_LOADED)?;
        *player = Some(Player::new(script));
    }
    let player_now = player.as_mut().ok_or(code::UNINITIALIZED)?;
    let hang = player_now.hang_at_start();
    let started = player_now.start();
    drop(player);
    hang_for(hang);
    started
}

/// Takes one start back; the last one stops the answers. The script plays on after the next start.
pub(crate) fn shut_down() -> Result<(), i32> {
    let mut player = lock();
    let player = player.as_mut().ok_or(code::UNINITIALIZED)?;
    player.shut_down()
}

/// Asks the script; fails when none is playing.
pub(crate) fn ask<T>(question: impl FnOnce(&mut Player) -> Result<T, i32>) -> Result<T, i32> {
    let mut player = lock();
    let player_now = player.as_mut().ok_or(code::UNINITIALIZED)?;
    if !player_now.answers() {
        return Err(code::UNINITIALIZED);
    }
    player_now.asked = None;
    let answer = question(player_now);
    let hang = player_now.hang_at_call().or_else(|| player_now.hang_at_device());
    // Nobody else has to wait for a call that hangs.
    drop(player);
    hang_for(hang);
    answer
}

fn hang_for(time: Option<Duration>) {
    if let Some(time) = time {
        thread::sleep(time);
    }
}

fn lock() -> MutexGuard<'static, Option<Player>> {
    PLAYER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Player {
    fn new(script: Script) -> Self {
        Self {
            progress: vec![Progress::default(); script.devices.len()],
            num_told: vec![0; script.xids.len()],
            numbering: Numbering::of(&script.driver),
            script,
            num_open: 0,
            is_unloaded: false,
            num_starts: 0,
            num_calls: 0,
            has_unloaded: false,
            has_hung: false,
            asked: None,
        }
    }

    /// How the driver that it plays numbers its fields.
    pub(crate) fn numbering(&self) -> Numbering {
        self.numbering
    }

    fn start(&mut self) -> Result<(), i32> {
        if self.num_open == 0 {
            self.num_starts += 1;
            if self.num_starts <= self.script.failing_starts {
                return Err(self.script.failing_with.unwrap_or(code::DRIVER_NOT_LOADED));
            }
            self.is_unloaded = false;
        }
        self.num_open += 1;
        Ok(())
    }

    fn shut_down(&mut self) -> Result<(), i32> {
        self.num_open = self.num_open.checked_sub(1).ok_or(code::UNINITIALIZED)?;
        Ok(())
    }

    fn answers(&self) -> bool {
        self.num_open > 0 && !self.is_unloaded
    }

    /// How long the first start hangs, if it does.
    fn hang_at_start(&mut self) -> Option<Duration> {
        let hang = self.script.hang.filter(|hang| hang.after == 0)?;
        let first = !std::mem::replace(&mut self.has_hung, true);
        first.then(|| Duration::from_millis(hang.millis))
    }

    /// How long this call hangs, if it does.
    fn hang_at_call(&mut self) -> Option<Duration> {
        let hang = self.script.hang.filter(|hang| self.num_calls >= hang.after)?;
        let first = !std::mem::replace(&mut self.has_hung, true);
        first.then(|| Duration::from_millis(hang.millis))
    }

    /// How long this call hangs, if it is about a device that hangs now.
    fn hang_at_device(&mut self) -> Option<Duration> {
        let device = self.asked?;
        let progress = &mut self.progress[device];
        let hang = self.script.devices[device]
            .hang
            .filter(|hang| progress.answered >= hang.after)?;
        let first = !std::mem::replace(&mut progress.has_hung, true);
        first.then(|| Duration::from_millis(hang.millis))
    }

    /// The next error that is to be told to whoever waits, with its device.
    pub(crate) fn next_xid(&mut self) -> Option<(usize, u64)> {
        let due = self.script.xids.iter().zip(&mut self.num_told);
        let mut due = due.filter(|(xid, told)| self.num_calls >= xid.after && **told < xid.times);
        let (xid, told) = due.next()?;
        *told += 1;
        Some((xid.device, xid.code))
    }

    /// Device number `device`, if it is not lost; counts the call.
    pub(crate) fn device(&mut self, device: usize) -> Result<&DeviceScript, i32> {
        let script = self.script.devices.get(device).ok_or(code::INVALID_ARGUMENT)?;
        self.num_calls += 1;
        let unloads = |calls| self.num_calls > calls && !self.has_unloaded;
        if self.script.unloaded_after.is_some_and(unloads) {
            self.has_unloaded = true;
            self.is_unloaded = true;
            return Err(code::UNINITIALIZED);
        }
        self.asked = Some(device);
        let progress = &mut self.progress[device];
        progress.find(script.back_after_starts, self.num_starts);
        if script.lost_after.is_some_and(|calls| progress.answered >= calls) && !progress.is_back {
            progress.lost_in.get_or_insert(self.num_starts);
            return Err(code::GPU_IS_LOST);
        }
        progress.answered += 1;
        Ok(script)
    }

    /// Device number `device` for its name or UUID, which it may not tell at first.
    pub(crate) fn named(&mut self, device: usize) -> Result<&DeviceScript, i32> {
        self.device(device)?;
        let script = &self.script.devices[device];
        let progress = &mut self.progress[device];
        progress.num_asked_for_name += 1;
        if progress.num_asked_for_name <= script.unnamed_calls {
            return Err(code::TIMEOUT);
        }
        Ok(script)
    }

    /// The next answer of device number `device` to `call`.
    pub(crate) fn next<T: Clone>(
        &mut self,
        device: usize,
        call: Call,
        track: impl FnOnce(&DeviceScript) -> &Track<T>,
    ) -> Result<T, i32> {
        self.device(device)?;
        self.play(device, call, track)
    }

    /// As [`Player::next`], for one of many answers of a call that was counted.
    pub(crate) fn play<T: Clone>(
        &mut self,
        device: usize,
        call: Call,
        track: impl FnOnce(&DeviceScript) -> &Track<T>,
    ) -> Result<T, i32> {
        let track = track(&self.script.devices[device]);
        let last = track.len().checked_sub(1).ok_or(code::NOT_SUPPORTED)?;
        if last == 0 {
            // Most tracks, and no place on them to be remembered.
            return Ok(track[0].clone());
        }
        let position = self.progress[device].positions.entry(call).or_default();
        let answer = track[(*position).min(last)].clone();
        *position += 1;
        Ok(answer)
    }

    /// A fact about device number `device`, if it has it.
    pub(crate) fn fact<T: Clone>(
        &mut self,
        device: usize,
        fact: impl FnOnce(&DeviceScript) -> Option<T>,
    ) -> Result<T, i32> {
        fact(self.device(device)?).ok_or(code::NOT_SUPPORTED)
    }
}

impl Progress {
    /// Marks a lost device as back when the starts that it takes have been made.
    fn find(&mut self, back_after_starts: Option<u64>, num_starts: u64) {
        let back = back_after_starts.zip(self.lost_in);
        if back.is_some_and(|(after, lost_in)| num_starts >= lost_in + after) {
            self.is_back = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player_of(script: &str) -> Player {
        let mut player = Player::new(serde_json::from_str(script).unwrap());
        player.start().unwrap();
        player
    }

    fn player(device: &str) -> Player {
        player_of(&format!(r#"{{"driver":"580.95.05","devices":[{device}]}}"#))
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

    #[test]
    fn a_lost_device_is_back_after_the_starts_that_it_takes() {
        let mut player =
            player(r#"{"name":"a","uuid":"b","lost_after":1,"back_after_starts":2,"power_milliwatts":[1]}"#);
        let mut answers = Vec::new();
        for restarts in [false, false, true, true, false] {
            if restarts {
                player.shut_down().unwrap();
                player.start().unwrap();
            }
            answers.push(player.next(0, Call::Power, |device| &device.power_milliwatts));
        }
        let lost = Err(code::GPU_IS_LOST);
        assert_eq!(answers, [Ok(1), lost, lost, Ok(1), Ok(1)]);
    }

    #[test]
    fn an_unloaded_driver_answers_again_after_a_start() {
        let mut player =
            player_of(r#"{"driver":"1","devices":[{"name":"a","uuid":"b"}],"unloaded_after":2}"#);
        let answers = [0; 3].map(|device| player.device(device).map(|_| ()));
        assert_eq!(answers, [Ok(()), Ok(()), Err(code::UNINITIALIZED)]);
        assert!(!player.answers());
        player.start().unwrap();
        assert!(!player.answers(), "a start on top of another looks for nothing");
        for _ in 0..2 {
            player.shut_down().unwrap();
        }
        player.start().unwrap();
        assert!(player.answers() && player.device(0).is_ok());
    }

    #[test]
    fn one_call_hangs_and_no_other() {
        let mut player =
            player_of(r#"{"driver":"1","devices":[{"name":"a","uuid":"b"}],"hang":{"after":2,"millis":7}}"#);
        let mut hangs = Vec::new();
        for _ in 0..3 {
            player.device(0).map(|_| ()).unwrap();
            hangs.push(player.hang_at_call());
        }
        assert_eq!(hangs, [None, Some(Duration::from_millis(7)), None]);
        assert_eq!(player.hang_at_start(), None);
    }

    #[test]
    fn errors_are_told_in_order_as_often_as_the_script_says() {
        let mut player = player_of(
            r#"{"driver":"1","devices":[{"name":"a","uuid":"b"}],
                "xids":[{"device":0,"code":79,"times":2},{"device":0,"code":31,"times":1,"after":1}]}"#,
        );
        assert_eq!(
            [player.next_xid(), player.next_xid(), player.next_xid()],
            [Some((0, 79)), Some((0, 79)), None]
        );
        player.device(0).map(|_| ()).unwrap();
        assert_eq!([player.next_xid(), player.next_xid()], [Some((0, 31)), None]);
    }

    #[test]
    fn one_device_hangs_and_no_other() {
        let hanging = r#"{"name":"a","uuid":"b","hang":{"after":2,"millis":7}}"#;
        let mut player = player_of(&format!(
            r#"{{"driver":"1","devices":[{hanging},{{"name":"c","uuid":"d"}}]}}"#
        ));
        let mut hangs = Vec::new();
        for device in [0, 1, 0, 1, 0] {
            player.device(device).map(|_| ()).unwrap();
            hangs.push(player.hang_at_device().map(|hang| hang.as_millis()));
        }
        assert_eq!(hangs, [None, None, Some(7), None, None]);
    }
}
