//! Files written for a test each, opened.

use super::*;

const KERNEL: &str = r#"{"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 5, "dur": 2}"#;

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("there is room");
    path
}

fn trace(head: &str, events: &str) -> String {
    format!("{{{head}\"traceEvents\": [{events}]}}")
}

#[track_caller]
fn fails(paths: &[PathBuf], kind: TraceKind) -> String {
    let fault = open(paths, kind, &Watch::default()).expect_err("it is no trace");
    fault.to_string()
}

fn names(opened: &Opened) -> Vec<&str> {
    opened
        .recording
        .programs
        .iter()
        .map(|program| program.name.as_str())
        .collect()
}

#[test]
fn ranks_are_those_of_the_names() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in [10, 9, 2] {
        write(folder.path(), &format!("rank-{number}.json"), &trace("", KERNEL));
    }
    let opened = open(&[folder.path().to_owned()], TraceKind::Any, &Watch::default()).expect("traces");
    assert_eq!(names(&opened), ["rank 2", "rank 9", "rank 10"]);
}

#[test]
fn two_files_of_one_rank_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let head = r#""distributedInfo": {"rank": 3, "world_size": 8}, "#;
    let [a, b] = ["a.json", "b.json"].map(|name| write(folder.path(), name, &trace(head, KERNEL)));
    let fault = fails(&[a, b], TraceKind::Any);
    assert!(
        fault.starts_with("two files are of rank 3: ")
            && fault.contains("a.json and ")
            && fault.contains("= help:"),
        "{fault}"
    );
}

#[test]
fn files_of_different_jobs_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [(0, 2), (1, 8)].map(|(rank, size)| {
        let head = format!(r#""distributedInfo": {{"rank": {rank}, "world_size": {size}}}, "#);
        write(folder.path(), &format!("{rank}.json"), &trace(&head, KERNEL))
    });
    let fault = fails(&files, TraceKind::Any);
    assert!(
        fault.starts_with("the job has 2 ranks by ") && fault.contains("and 8 by "),
        "{fault}"
    );
}

#[test]
fn what_is_no_trace_is_skipped_in_folders_and_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "rank-0.json", &trace("", KERNEL));
    let notes = write(folder.path(), "notes.json", "{\"a\": 1}");
    let opened = open(&[folder.path().to_owned()], TraceKind::Any, &Watch::default()).expect("a trace");
    assert_eq!((opened.files.len(), opened.skipped.len()), (1, 1));
    assert_eq!(opened.skipped[0].0, notes);
    let fault = fails(&[notes], TraceKind::Any);
    assert!(
        fault.contains("notes.json\n  = help:"),
        "named, with a remedy: {fault}"
    );
    let nowhere = fails(&[folder.path().join("none.json")], TraceKind::Any);
    assert!(nowhere.starts_with("no such file or folder: "), "{nowhere}");
}

#[test]
fn a_trace_without_kernels_says_what_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = trace(
        "",
        r#"{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 5, "dur": 2}"#,
    );
    let fault = fails(&[write(folder.path(), "plain.json", &text)], TraceKind::Chrome);
    assert!(
        fault.starts_with("1 events, none a kernel or a CUDA call: ") && fault.contains("\n  = help:"),
        "{fault}"
    );
}

#[test]
fn what_files_are_said_to_be_is_held_against_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = [write(folder.path(), "plain.json", &trace("", KERNEL))];
    assert!(
        fails(&plain, TraceKind::Kineto).contains("PyTorch's profiler"),
        "no head"
    );
    assert!(
        fails(&plain, TraceKind::StragglerParquet).contains("no Parquet file"),
        "no table"
    );
    assert!(
        open(&plain, TraceKind::Chrome, &Watch::default()).is_ok(),
        "it is one"
    );
    let headed = [write(
        folder.path(),
        "k.json",
        &trace("\"schemaVersion\": 1, ", KERNEL),
    )];
    assert!(
        open(&headed, TraceKind::Kineto, &Watch::default()).is_ok(),
        "it has a head"
    );
}

/// A line of the inspector's log of a process, which is a rank of a communicator of two.
fn logged(rank: u32) -> String {
    format!(
        r#"{{"header": {{"id": "0x7f", "rank": {rank}, "n_ranks": 2, "nnodes": 1}}, "metadata": {{"dump_timestamp_us": 9000,
        "hostname": "a", "pid": {}}}, "coll_perf": {{"coll": "AllReduce", "coll_sn": 1, "coll_msg_size_bytes": 64,
        "coll_exec_time_us": 20, "event_trace_ts": {{"kernel_events": [{{"channel_id": 0, "kernel_start_ts": {},
        "kernel_stop_ts": 8000}}]}}}}}}"#,
        70 - rank,
        7980 + rank
    )
}

#[test]
fn logs_of_the_inspector_are_ranks_of_their_communicator() {
    let folder = tempfile::tempdir().expect("a folder");
    for rank in [1, 0] {
        write(folder.path(), &format!("a-pid{}.log", 70 - rank), &logged(rank));
    }
    let paths = [folder.path().to_owned()];
    for kind in [TraceKind::Any, TraceKind::NcclInspector] {
        let opened = open(&paths, kind, &Watch::default()).expect("logs");
        assert_eq!(names(&opened), ["rank 0", "rank 1"]);
        assert_eq!(opened.report.as_ref().map(|report| report.collectives), Some(1));
        assert!(opened.notes.is_empty(), "they have times");
        assert!(
            crate::traces::measured(&opened, "log").is_ok(),
            "collectives alone are a run"
        );
    }
    let log = [folder.path().join("a-pid70.log")];
    assert!(
        fails(&log, TraceKind::Kineto).contains("nccl-inspector"),
        "it is no trace"
    );
}

/// An export with one product of one process.
#[test]
fn an_export_of_nsight_systems_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.sqlite");
    let connection = Connection::open(&path).expect("a database");
    let rows = "CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO StringIds VALUES (1, 'gemm');
        CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INT, end INT, deviceId INT, contextId INT, streamId INT,
        correlationId INT, globalPid INT, demangledName INT);
        INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (10, 30, 0, 1, 7, 1, 0, 1);";
    connection.execute_batch(rows).expect("rows");
    drop(connection);
    let paths = [path];
    for kind in [TraceKind::Any, TraceKind::NsysSqlite] {
        let opened = open(&paths, kind, &Watch::default()).expect("an export");
        assert_eq!(
            (names(&opened), opened.recording.operations.len()),
            (vec!["rank 0"], 1)
        );
    }
    assert!(
        fails(&paths, TraceKind::Kineto).contains("nsys-sqlite"),
        "it is no trace"
    );
}

#[test]
fn reading_stops_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "rank-0.json", &trace("", KERNEL));
    let watch = Watch::default();
    watch.cancel();
    let fault = open(&[path], TraceKind::Any, &watch).expect_err("it was stopped");
    assert_eq!(fault, TraceFault::Cancelled(Cancelled));
}
