//! The largest of some numbers, ties broken as the references break them.
//!
//! Megatron-Core pads experts with whatever tokens `torch.topk` happens to pick among equal zeros, and anybody who
//! compares token lists with it must pick the same. PyTorch on CPU calls C++'s `nth_element`, which libstdc++ has
//! as an introselect (Musser 1997; median of three, then insertion); where few of many are wanted it sorts instead.

/// A number and where it stood.
type Entry = (f32, u32);

/// The places of the `k` largest of `values`, in no particular order.
///
/// # Panics
/// When there are fewer than `k` values.
#[must_use]
pub fn top_k(values: &[f32], k: usize) -> Vec<u32> {
    assert!(k <= values.len(), "{k} of {} values", values.len());
    let mut entries: Vec<Entry> = values.iter().copied().zip(0..).collect();
    if k > 0 && k * 64 <= entries.len() {
        entries.sort_by(|a, b| b.0.total_cmp(&a.0));
    } else if k > 0 {
        introselect(&mut entries, k - 1);
    }
    entries.truncate(k);
    entries.into_iter().map(|(_, place)| place).collect()
}

/// Whether `a` comes before `b`.
fn before(a: Entry, b: Entry) -> bool {
    a.0 > b.0
}

/// Brings the entry that would stand at `nth` in descending order there, larger ones before it and smaller behind.
fn introselect(entries: &mut [Entry], nth: usize) {
    let (mut first, mut last) = (0, entries.len());
    let mut depth = 2 * entries.len().ilog2();
    while last - first > 3 {
        if depth == 0 {
            // libstdc++ turns to a heap here; numbers that lead there have no ties worth copying.
            entries[first..last].sort_by(|a, b| b.0.total_cmp(&a.0));
            return;
        }
        depth -= 1;
        let cut = partition(entries, first, last);
        if cut <= nth {
            first = cut;
        } else {
            last = cut;
        }
    }
    for sorted in first + 1..last {
        let mut at = sorted;
        while at > first && before(entries[at], entries[at - 1]) {
            entries.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Splits `first..last` about the median of its second, middle and last entry; returns where the second part starts.
fn partition(entries: &mut [Entry], first: usize, last: usize) -> usize {
    let middle = first + (last - first) / 2;
    let median = median(entries, first + 1, middle, last - 1);
    entries.swap(first, median);
    let pivot = entries[first];
    let (mut left, mut right) = (first + 1, last);
    loop {
        while before(entries[left], pivot) {
            left += 1;
        }
        right -= 1;
        while before(pivot, entries[right]) {
            right -= 1;
        }
        if left >= right {
            return left;
        }
        entries.swap(left, right);
        left += 1;
    }
}

/// Which of three places holds their median; between equal ones, the one that libstdc++ takes.
fn median(entries: &[Entry], a: usize, b: usize, c: usize) -> usize {
    let less = |x: usize, y: usize| before(entries[x], entries[y]);
    let (low, high) = if less(a, b) { (a, b) } else { (b, a) };
    if less(a, b) {
        if less(high, c) {
            high
        } else if less(low, c) {
            c
        } else {
            low
        }
    } else if less(high, c) {
        high
    } else if less(low, c) {
        c
    } else {
        low
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a sort and against a heap, values being few so that there are ties.
        #[test]
        fn it_finds_what_sorting_and_a_heap_find(values in prop::collection::vec(0i8..20, 1..300), part in 0.0..1.0) {
            let k = (part * values.len() as f64) as usize;
            let numbers: Vec<f32> = values.iter().map(|&value| f32::from(value)).collect();
            let mut places = top_k(&numbers, k);
            let mut found: Vec<i8> = places.iter().map(|&place| values[place as usize]).collect();
            found.sort_unstable_by(|a, b| b.cmp(a));
            let mut sorted = values.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            prop_assert_eq!(&found[..], &sorted[..k]);
            let mut heap: BinaryHeap<i8> = values.into_iter().collect();
            prop_assert!((0..k).all(|at| heap.pop() == Some(found[at])));
            places.sort_unstable();
            places.dedup();
            prop_assert_eq!(places.len(), k);
        }

        #[test]
        fn the_median_of_three(values in prop::array::uniform3(0i8..4)) {
            let entries: Vec<Entry> = values.iter().map(|&value| f32::from(value)).zip(0..).collect();
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert_eq!(values[median(&entries, 0, 1, 2)], sorted[1]);
        }
    }
}
