//! Samplers against sources that fail, lose a device, or are read faster than anybody receives.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use orrery_telemetry::{DeviceIdentity, DeviceSample, Origin};
use orrery_units::Seed;

use super::*;
use crate::DemoSource;

/// What happened to the sources of a test, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// A device as a test wants it: there, lost, or its source broken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    There,
    Lost,
    Broken,
}

/// Gives its answers one after another, and the last one for good.
struct Scripted {
    answers: &'static [Answer],
    num_reads: usize,
    diary: Diary,
}

impl Source for Scripted {
    fn origin(&self) -> Origin {
        Origin::Live
    }

    fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
        let answer = self.answers[self.num_reads.min(self.answers.len() - 1)];
        self.num_reads += 1;
        let absence = match answer {
            Answer::There => Absence::NotSupported,
            Answer::Lost => Absence::DeviceLost,
            Answer::Broken => return Err("the driver was unloaded".into()),
        };
        let identity = DeviceIdentity {
            node: "node-0".to_owned(),
            index: 0,
            uuid: "GPU-a".to_owned(),
            model: "model".to_owned(),
        };
        Ok(vec![DeviceSample::absent(identity, &absence)])
    }

    fn recall(&mut self, devices: &[DeviceIdentity]) {
        for device in devices {
            self.diary
                .lock()
                .unwrap()
                .push(format!("recalled {}", device.uuid));
        }
    }

    fn prepare(&mut self) {
        self.diary.lock().unwrap().push("prepared".to_owned());
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.diary.lock().unwrap().push("closed".to_owned());
    }
}

struct Running {
    messages: Receiver<Message>,
    stop: Arc<Stop>,
    threads: Arc<Threads>,
    dropped: Arc<AtomicU64>,
}

impl Running {
    fn start(open: OpenSource, num_in_flight: usize, stand_in: Option<StandIn>) -> Self {
        let (out, messages) = sync_channel(num_in_flight);
        let running = Self {
            messages,
            stop: Arc::default(),
            threads: Arc::default(),
            dropped: Arc::default(),
        };
        let mut sampler = running.sampler("nvml", open, out.clone(), running.stop.clone());
        sampler.stand_in = stand_in.map(|mut stand_in| {
            let open: OpenSource = Box::new(|| Ok(Box::new(DemoSource::new(Seed::new(1)))));
            let mut demo = running.sampler("demo", open, out, stand_in.stop.clone());
            demo.farewell = "not needed";
            stand_in.sampler = Some(Box::new(demo));
            stand_in
        });
        sampler.start().unwrap();
        running
    }

    fn sampler(
        &self,
        name: &'static str,
        open: OpenSource,
        out: SyncSender<Message>,
        stop: Arc<Stop>,
    ) -> Sampler {
        Sampler {
            name,
            open,
            interval: Duration::from_millis(5),
            dropped: self.dropped.clone(),
            out,
            stop,
            threads: self.threads.clone(),
            stand_in: None,
            farewell: "stopped",
        }
    }

    fn next(&self) -> Message {
        let message = self.messages.recv_timeout(Duration::from_secs(20));
        message.expect("the sampler goes on")
    }

    fn end(self) {
        self.stop.wish();
        drop(self.messages);
        assert_eq!(self.threads.wait(Duration::from_secs(20)), [""; 0]);
    }
}

/// Opens a source for each entry of `lives`, an error where it is `None`, the last one for good.
fn opener(lives: &'static [Option<&'static [Answer]>], diary: &Diary) -> OpenSource {
    let (diary, mut num_opened) = (diary.clone(), 0);
    Box::new(move || {
        diary.lock().unwrap().push("opened".to_owned());
        let life = lives[num_opened.min(lives.len() - 1)];
        num_opened += 1;
        let answers = life.ok_or("no driver")?;
        Ok(Box::new(Scripted {
            answers,
            num_reads: 0,
            diary: diary.clone(),
        }))
    })
}

#[test]
fn what_does_not_fit_the_channel_is_counted_and_leaves_a_gap() {
    let open: OpenSource = Box::new(|| Ok(Box::new(DemoSource::new(Seed::new(1)))));
    let running = Running::start(open, 2, None);
    // Nobody receives until three samples found no room.
    while running.dropped.load(Ordering::Relaxed) < 3 {
        thread::sleep(Duration::from_millis(1));
    }
    let sequences: Vec<u64> = (0..3)
        .map(|_| match running.next() {
            Message::Sample { sample, .. } => sample.sequence,
            other @ Message::Absent { .. } => panic!("the demonstration gives samples, not {other:?}"),
        })
        .collect();
    running.end();
    assert_eq!(sequences[..2], [0, 1]);
    assert!(sequences[2] >= 5, "{sequences:?}");
}

#[test]
fn a_source_that_cannot_be_opened_is_tried_again_at_the_time_it_names() {
    let diary = Diary::default();
    let running = Running::start(opener(&[None, None, Some(&[Answer::There])], &diary), 16, None);
    let mut waits = Vec::new();
    for _ in 0..2 {
        let Message::Absent { error, next_try, .. } = running.next() else {
            panic!("it cannot be opened")
        };
        assert_eq!(error.reason, "no driver");
        waits.push(next_try.expect("it is tried again"));
    }
    let Message::Sample { next_try, .. } = running.next() else {
        panic!("it is open now")
    };
    assert!(Instant::now() >= waits[1], "it was tried too early");
    assert_eq!(next_try, None);
    running.end();
    assert_eq!(*diary.lock().unwrap(), ["opened", "opened", "opened", "closed"]);
}

#[test]
fn a_lost_device_is_back_when_the_source_was_closed_and_opened_again() {
    let diary = Diary::default();
    let lives: &'static [Option<&'static [Answer]>] = &[
        Some(&[Answer::There, Answer::Lost]),
        Some(&[Answer::Lost]),
        Some(&[Answer::There]),
    ];
    let running = Running::start(opener(lives, &diary), 64, None);
    let (mut seen, mut sequences, mut num_readings) = (Vec::new(), Vec::new(), Vec::new());
    let mut num_since_try = 0;
    while seen.len() < 3 || seen.last() != Some(&false) {
        let Message::Sample {
            sample,
            began,
            next_try,
        } = running.next()
        else {
            panic!("the other devices are read all the time")
        };
        let is_lost = sample.devices[0].is_lost();
        assert_eq!(next_try.is_some(), is_lost, "a lost device is looked for");
        num_since_try += u32::from(is_lost);
        if next_try.is_some_and(|at| at <= began) {
            num_readings.push(num_since_try);
            num_since_try = 0;
        }
        sequences.push((sample.sequence, sample.at));
        seen.push(is_lost);
    }
    running.end();
    assert!(!seen[0] && seen[1], "{seen:?}");
    assert!(
        sequences.windows(2).all(|pair| pair[0] < pair[1]),
        "sequence and clock go on: {sequences:?}"
    );
    // From the loss four intervals on: five readings, one more if the first of them was late, and fewer where the
    // machine is so busy that readings are left out.
    assert_eq!(num_readings.len(), 2, "{num_readings:?}");
    assert!(num_readings[0] <= READINGS_BETWEEN_TRIES + 2, "{num_readings:?}");
    // Closed before it is opened again: NVML counts its starts. Prepared before the next reading.
    let diary = diary.lock().unwrap();
    let (closed, prepared) = ("closed", ["opened", "recalled GPU-a", "prepared", "closed"]);
    assert_eq!(*diary, [&["opened", closed][..], &prepared, &prepared].concat());
}

#[test]
fn a_source_that_broke_is_closed_and_opened_again() {
    let diary = Diary::default();
    let lives: &'static [Option<&'static [Answer]>] =
        &[Some(&[Answer::There, Answer::Broken]), Some(&[Answer::There])];
    let running = Running::start(opener(lives, &diary), 64, None);
    assert!(matches!(running.next(), Message::Sample { .. }));
    let Message::Absent { error, next_try, .. } = running.next() else {
        panic!("the source broke")
    };
    assert_eq!(error.reason, "the driver was unloaded");
    assert!(next_try.is_some(), "it is opened again");
    let Message::Sample { sample, .. } = running.next() else {
        panic!("the source is back")
    };
    assert_eq!(sample.sequence, 1);
    running.end();
    let diary = diary.lock().unwrap();
    let again = ["opened", "recalled GPU-a", "closed"];
    assert_eq!(
        *diary,
        [&["opened", "closed"][..], &again].concat(),
        "it is read at once"
    );
}

#[test]
fn a_lost_device_is_left_alone_for_four_readings_at_least() {
    let wait = |secs: f64, num_tries: u32| {
        let interval = Duration::from_secs_f64(secs);
        let mut retry = Retry::new("nvml", "a", interval);
        let waits = (0..num_tries).map(|_| lost_device_wait(&mut retry, interval).as_secs_f64());
        waits.collect::<Vec<_>>()
    };
    // Where a wait of the retry is no longer than an interval, each reading would open the source again.
    assert_eq!(wait(60.0, 5), [240.0; 5]);
    assert_eq!(wait(3600.0, 2), [14_400.0; 2]);
    let waits = wait(1.0, 40);
    assert_eq!(waits[..3], [4.0; 3]);
    assert!(waits.iter().all(|wait| (4.0..=60.0).contains(wait)), "{waits:?}");
    assert!(waits[20] > 40.0, "the waits grow: {waits:?}");
    assert!(
        waits.iter().all(|wait| wait.fract() < 1e-9),
        "whole readings: {waits:?}"
    );
}

#[test]
fn a_sample_is_as_old_as_the_beginning_of_its_reading() {
    struct Slow;
    impl Source for Slow {
        fn origin(&self) -> Origin {
            Origin::Live
        }

        fn read(&mut self, _sequence: u64) -> Result<Vec<DeviceSample>, SourceError> {
            thread::sleep(Duration::from_millis(60));
            Ok(Vec::new())
        }
    }
    let running = Running::start(Box::new(|| Ok(Box::new(Slow))), 16, None);
    let Message::Sample { sample, began, .. } = running.next() else {
        panic!("it gives samples")
    };
    let (since, on_the_wall) = (
        began.elapsed(),
        wall_clock().as_millis() - sample.taken.as_millis(),
    );
    assert!(since >= Duration::from_millis(60), "{since:?}");
    assert!(on_the_wall >= 60, "{on_the_wall} ms");
    running.end();
}

#[test]
fn a_stand_in_runs_until_the_first_sample_and_never_again() {
    let diary = Diary::default();
    let lives: &'static [Option<&'static [Answer]>] = &[
        None,
        None,
        None,
        Some(&[Answer::There, Answer::There, Answer::There, Answer::Broken]),
        None,
    ];
    let stand_in = StandIn {
        sampler: None,
        stop: Arc::default(),
    };
    let running = Running::start(opener(lives, &diary), 1024, Some(stand_in));
    let (mut demo, mut num_failures, mut farewell) = (0, 0, None);
    while num_failures < 7 {
        match running.next() {
            Message::Sample { sample, .. } if sample.source == "demo" => {
                assert_eq!(farewell, None, "the demonstration came back");
                demo += 1;
            }
            Message::Absent {
                source: "demo",
                error,
                ..
            } => farewell = Some(error.reason),
            Message::Absent { .. } => num_failures += 1,
            Message::Sample { .. } => {}
        }
    }
    running.end();
    assert!(demo > 0, "the demonstration stood in");
    assert_eq!(farewell.as_deref(), Some("not needed"));
}

#[test]
fn a_stand_in_that_is_not_needed_never_runs() {
    let stand_in = StandIn {
        sampler: None,
        stop: Arc::default(),
    };
    let running = Running::start(
        opener(&[Some(&[Answer::There])], &Diary::default()),
        64,
        Some(stand_in),
    );
    for _ in 0..10 {
        assert!(
            matches!(running.next(), Message::Sample { sample, .. } if sample.source == "nvml"),
            "there are devices"
        );
    }
    running.end();
}
