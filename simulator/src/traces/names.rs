//! What names of files say: their order, and the rank that a file is of.

use std::cmp::Ordering;
use std::path::Path;

/// Compares names as people do: numbers in them by their value.
///
/// Worked: `rank-2.json` comes before `rank-10.json`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (in_a, in_b) = (digits(a), digits(b));
        if in_a > 0 && in_b > 0 {
            let (number_a, number_b) = (
                a[..in_a].trim_start_matches('0'),
                b[..in_b].trim_start_matches('0'),
            );
            let by_value = number_a.len().cmp(&number_b.len()).then(number_a.cmp(number_b));
            if by_value != Ordering::Equal {
                return by_value;
            }
            (a, b) = (&a[in_a..], &b[in_b..]);
            continue;
        }
        match (a.chars().next(), b.chars().next()) {
            (Some(one), Some(other)) if one == other => {
                (a, b) = (&a[one.len_utf8()..], &b[other.len_utf8()..]);
            }
            (one, other) => return one.cmp(&other),
        }
    }
}

/// The rank that the name of a file says: the number behind `rank` or `worker`, else the last number in it.
///
/// Worked: `worker7_step_12.1694128201553.pt.trace.json` is of rank 7, `node-3-gpu-1.json.gz` of rank 1.
pub(super) fn rank_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let behind = |word: &str| {
        let (_, rest) = name.split_once(word)?;
        let rest = rest.trim_start_matches(['-', '_', '.', '=']);
        rest.split(|letter: char| !letter.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let last = || {
        let mut parts = name.split(|letter: char| !letter.is_ascii_digit());
        parts.rfind(|part| !part.is_empty())?.parse().ok()
    };
    behind("rank").or_else(|| behind("worker")).or_else(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_their_value() {
        let mut names = [
            "rank-10.json",
            "rank-9.json",
            "rank-2.json.gz",
            "a",
            "rank-02.json",
        ];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            [
                "a",
                "rank-02.json",
                "rank-2.json.gz",
                "rank-9.json",
                "rank-10.json"
            ]
        );
    }

    #[test]
    fn ranks_of_names() {
        let of = |name: &str| rank_of(Path::new(name));
        assert_eq!(of("traces/rank-12.json.gz"), Some(12));
        assert_eq!(of("worker7_step_12.1694128201553.pt.trace.json"), Some(7));
        assert_eq!(of("rank_3.json"), Some(3));
        assert_eq!(of("node-3-gpu-1.json.gz"), Some(1));
        assert_eq!(
            of("host_4711.1694128201553.pt.trace.json"),
            None,
            "a time is no rank"
        );
        assert_eq!(of("trace.json"), None);
    }
}
