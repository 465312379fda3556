//! Shapes, names and sizes of what can be measured.

use super::*;

const GROUPED: Subject = Subject::Grouped {
    experts: 8,
    rows_per_expert: 100,
    n: 256,
    k: 128,
    precision: Precision::Bf16,
};

#[test]
fn rows_are_drawn_and_the_same_every_time() {
    let rows = GROUPED.expert_rows();
    assert_eq!(rows.iter().sum::<u64>(), 800);
    assert_eq!(rows, GROUPED.expert_rows());
    assert!(rows.iter().any(|&count| count != rows[0]), "{rows:?}");
    assert!((GROUPED.flops().get() - 2.0 * 800.0 * 256.0 * 128.0).abs() < 0.5);
}

#[test]
fn buffers_outgrow_the_cache() {
    let cache = Bytes::new(50 << 20);
    let copy = Subject::Copy { bytes: 1 << 20 };
    assert!(copy.memory(cache).get() >= 3 * (50 << 20));
    // It reads and writes a mebibyte each.
    assert_eq!(copy.copies(cache), 75);
    let large = Subject::Copy { bytes: 1 << 30 };
    assert_eq!(large.memory(cache).get(), 2 * 2 * (1 << 30) + 2 * (50 << 20));
}

#[test]
fn ids_are_unique_and_sources_named() {
    let dense = Subject::Dense { m: 1, n: 2, k: 3 };
    assert_eq!(
        (dense.id().as_str(), dense.kernel_source()),
        ("dense-bf16-1x2x3", "cublaslt")
    );
    assert_eq!(
        (GROUPED.id().as_str(), GROUPED.kernel_source()),
        ("grouped-bf16-8x100x256x128", "orrery")
    );
    let text = serde_json::to_string(&GROUPED).unwrap();
    assert_eq!(serde_json::from_str::<Subject>(&text).unwrap(), GROUPED);
}
