//! Exports written for a test each, in the published schema.

use super::*;
use crate::kineto::join;

const SCHEMA: &str = "
    CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER, utcTime TEXT, localTime TEXT);
    CREATE TABLE TARGET_INFO_GPU (vmId INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT);
    CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,
        contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,
        demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, mangledName INTEGER, gridX INTEGER NOT NULL);
    CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,
        contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,
        bytes INTEGER NOT NULL, copyKind INTEGER NOT NULL);
    CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL,
        globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL);
    CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT,
        globalTid INTEGER, textId INTEGER);
    INSERT INTO StringIds VALUES (1, 'void gemm<128>(float*)'), (2, 'gemm'), (3, 'cudaLaunchKernel_v7000'),
        (4, 'cudaMemcpyAsync_v3020'), (5, 'iteration 41');
    INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1700000000000000000, '', '');
    INSERT INTO TARGET_INFO_GPU VALUES (0, 0, 'NVIDIA H100 80GB HBM3'), (0, 1, 'NVIDIA H100 80GB HBM3');
";

/// The serialised id of a thread of a process on the first host.
fn global(process: i64, thread: i64) -> i64 {
    (1 << 56) | (process << 24) | thread
}

/// Two processes: 700 on device 1, 701 on device 0; each launches a product in each of two steps and copies its result.
fn export() -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    connection.execute_batch(SCHEMA).expect("the schema");
    let run = |query: &str, values: &[i64]| {
        let values = rusqlite::params_from_iter(values);
        connection.execute(query, values).expect("a row");
    };
    for (process, device) in [(700, 1), (701, 0)] {
        let (pid, tid) = (global(process, 0), global(process, process + 5));
        for step in 0..2 {
            let (at, number) = (step * 1000, step + 1);
            run(
                "INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?1, ?2, 0, ?3, ?4, 3, 0)",
                &[at + 100, at + 150, tid, number],
            );
            run(
                "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?1, ?2, ?3, 1, 7, ?4, ?5, 1, 2, NULL, 1)",
                &[at + 200, at + 600 + device * 50, device, number, pid],
            );
        }
        run(
            "INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (1700, 1800, ?1, 1, 13, 9, ?2, 4096, 2)",
            &[device, pid],
        );
        run(
            "INSERT INTO NVTX_EVENTS VALUES (50, 1000, 59, NULL, ?1, 5), (1000, 2000, 59, 'iteration 42', ?1, NULL),
            (60, 70, 59, 'forward', ?1, NULL), (5, NULL, 34, 'iteration 7', ?1, NULL)",
            &[tid],
        );
    }
    connection
}

#[test]
fn a_rank_for_each_process_in_the_order_of_devices() {
    let connection = export();
    let ranks = read(&connection, &mut || true).expect("an export");
    let devices: Vec<&str> = ranks[0].devices.iter().map(String::as_str).collect();
    assert_eq!((ranks.len(), devices), (2, vec!["NVIDIA H100 80GB HBM3"; 2]));
    let recording = join(ranks).recording;
    let kinds: Vec<&str> = recording
        .kinds
        .iter()
        .map(|(_, kind)| kind.name.as_str())
        .collect();
    assert_eq!(kinds, ["cudaLaunchKernel", "gemm", "Memcpy DtoH"]);
    let numbers: Vec<u64> = recording.steps.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [41, 42]);
    // Device 0 comes first, whose products take 400 ns; those of device 1 take 450.
    let of_products = recording
        .operations
        .iter()
        .filter(|operation| operation.kind.get() == 1);
    let nanos: Vec<u64> = of_products
        .map(|operation| operation.duration.as_picos() / 1000)
        .collect();
    assert_eq!(nanos, [400, 400, 450, 450]);
    let copies: Vec<u64> = recording
        .operations
        .iter()
        .filter(|operation| operation.kind.get() == 2)
        .map(|operation| operation.bytes.get())
        .collect();
    assert_eq!(copies, [4096, 4096]);
    // Each product waits for its launch.
    assert!(recording.after.contains(&(1, 0)), "{:?}", recording.after);
}

#[test]
fn other_databases_are_refused_and_reading_stops_when_asked() {
    let connection = Connection::open_in_memory().expect("memory");
    let fault = read(&connection, &mut || true).expect_err("there is no table");
    assert!(
        fault.contains("no export of Nsight Systems") && fault.contains("= help:"),
        "{fault}"
    );
    assert_eq!(
        read(&export(), &mut || false).expect_err("it was stopped"),
        "it was stopped"
    );
}

#[test]
fn names_of_calls_and_of_steps() {
    assert_eq!(unversioned("cudaLaunchKernel_v7000"), "cudaLaunchKernel");
    assert_eq!(unversioned("cuda_very_old"), "cuda_very_old");
    for (text, number) in [
        ("ProfilerStep#12", Some(12)),
        ("Iteration: 5", Some(5)),
        ("iter_3", Some(3)),
        ("step 0", Some(0)),
        ("stepping", None),
        ("forward 3", None),
    ] {
        assert_eq!(step_number(text), number, "{text}");
    }
}
