//! A file that is not as it was written, or not ours: moved aside or left alone, never deleted, never a panic.

use std::time::{Duration, Instant};

use super::*;
use crate::store::file::{FileError, SCHEMA};
use crate::store::{Store, StoreSettings, StoreState};
use crate::threads::Stop;

/// A file of some rows, tiers and journal entries.
fn written(folder: &Path) -> Vec<u8> {
    let database = open(folder);
    let mut writer = Writer::load(database).unwrap();
    write(&mut writer, 0..4_000, 400, 2);
    drop(writer);
    std::fs::read(folder.join(FILE)).unwrap()
}

/// Whether the file can be read to the end, or is found to be damaged.
fn is_readable(folder: &Path) -> bool {
    let path = folder.join(FILE);
    let read = file::open(&path).and_then(|database| {
        file::guarded(|| {
            let mut writer = Writer::load(Arc::new(database))?;
            writer.commit(&[sample(1, BEGIN + 9_000_000, 2)])?;
            Ok(())
        })
    });
    match read {
        Ok(()) => true,
        Err(FileError::Damaged(_)) => false,
        Err(other) => panic!("{other:?} is no word for damage"),
    }
}

#[test]
fn whatever_is_changed_or_cut_off_is_found_or_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path());
    let path = folder.path().join(FILE);
    let mut num_found = 0;
    // The panics that redb has for such files are caught, and need not be printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for case in 0..60 {
        let draw = Seed::new(5).at("damage", &[case]);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a small file"
        )]
        let at = (draw.uniform() * whole.len() as f64) as usize;
        let mut bytes = whole.clone();
        match case % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << (case % 8),
            _ => {
                let end = (at + 5_000).min(bytes.len());
                bytes[at..end].fill(0xa5);
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        num_found += u32::from(!is_readable(folder.path()));
    }
    std::panic::set_hook(hook);
    assert!(num_found > 20, "only {num_found} of 60 were found");
}

#[test]
fn a_file_of_another_schema_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path());
    let change = database.begin_write().unwrap();
    let newer = &b"history/2"[..];
    change
        .open_table(file::META)
        .unwrap()
        .insert("schema", newer)
        .unwrap();
    change.commit().unwrap();
    drop(database);
    let path = folder.path().join(FILE);
    let fault = file::open(&path).unwrap_err();
    assert!(matches!(&fault, FileError::OtherSchema { .. }), "{fault:?}");
    let words = fault.to_string();
    assert!(words.contains("history/2") && words.contains(SCHEMA), "{words}");
    assert!(path.exists());
}

#[test]
fn a_file_that_another_has_open_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let fault = file::open(&folder.path().join(FILE)).unwrap_err();
    assert!(matches!(fault, FileError::Taken(_)), "{fault:?}");
}

#[test]
fn a_damaged_file_is_moved_aside_and_named_and_the_history_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, b"no database at all, but longer than nothing").unwrap();
    let settings = StoreSettings {
        flush_interval: Duration::from_millis(200),
        ..StoreSettings::new(folder.path().to_owned())
    };
    let (store, feed, queue) = Store::new(&settings);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let (store, stop) = (&store, &stop);
        scope.spawn(move || store.run(queue, stop));
        let start = Instant::now();
        feed.send(&Arc::new(sample(1, BEGIN, 1)));
        while store.status().flushed.is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", store.status());
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.wish();
    });
    let status = store.status();
    assert_eq!((status.state, status.dropped), (StoreState::Up, 0));
    let aside = status.moved_aside.unwrap();
    assert_eq!(
        std::fs::read(aside).unwrap(),
        b"no database at all, but longer than nothing"
    );
    assert_eq!(stored(&open(folder.path()), POWER, ALL, 0).len(), 1);
}

#[test]
fn what_does_not_fit_on_the_way_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (store, feed, _queue) = Store::new(&StoreSettings::new(folder.path().to_owned()));
    for sequence in 0..300 {
        feed.send(&Arc::new(sample(sequence, BEGIN, 1)));
    }
    assert_eq!(store.status().dropped, 300 - 256);
}
