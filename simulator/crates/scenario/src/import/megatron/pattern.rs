//! Small languages inside arguments: lists of layers, and layouts of a pipeline.

/// The marks of `--moe-layer-freq`: `2`, `[0,1,1]`, or sums and repeats as `([0]*3+[1]*12)`.
pub(super) fn layer_marks(text: &str, num_layers: u64) -> Option<Vec<u64>> {
    if let Ok(every) = text.trim().parse::<u64>() {
        let marks = (0..num_layers).map(|at| u64::from(every > 0 && at.is_multiple_of(every)));
        return Some(marks.collect());
    }
    let body = text.trim().trim_start_matches('(').trim_end_matches(')');
    let mut marks = Vec::new();
    for part in body.split('+') {
        let (list, times) = match part.split_once(']') {
            Some((list, rest)) => (list, rest.trim().trim_start_matches('*').trim()),
            None => return None,
        };
        let times: usize = if times.is_empty() { 1 } else { times.parse().ok()? };
        let items: Option<Vec<u64>> = list
            .trim()
            .trim_start_matches('[')
            .split([',', ' '])
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().ok())
            .collect();
        let items = items?;
        for _ in 0..times {
            marks.extend_from_slice(&items);
        }
    }
    Some(marks)
}

/// Transformer layers (`t`) of each stage of `--pipeline-model-parallel-layout`, as in `Et*3|(tt|)*6L`.
///
/// `E` is the embedding, `m` a prediction module, `L` the loss, `|` ends a stage, `*n` repeats what stands
/// before it.
pub(super) fn stage_layers(text: &str) -> Option<Vec<u64>> {
    let expanded = expand(text)?;
    let stages = expanded.split('|').map(|stage| stage.matches('t').count() as u64);
    Some(stages.collect())
}

fn expand(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (unit, after) = if first == '(' {
            let close = rest.find(')')?;
            (&rest[1..close], &rest[close + 1..])
        } else {
            rest.split_at(first.len_utf8())
        };
        let digits = after.strip_prefix('*').map_or(0, |times| {
            times.find(|c: char| !c.is_ascii_digit()).unwrap_or(times.len())
        });
        let times: usize = if digits > 0 {
            after[1..=digits].parse().ok()?
        } else {
            1
        };
        out.push_str(&unit.repeat(times.min(4096)));
        rest = if digits > 0 { &after[1 + digits..] } else { after };
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_and_marks() {
        assert_eq!(stage_layers("Et*3|(tt|)*6L"), Some(vec![3, 2, 2, 2, 2, 2, 2, 0]));
        assert_eq!(
            stage_layers("Et*2|(tt|)*5t|tmL"),
            Some(vec![2, 2, 2, 2, 2, 2, 1, 1])
        );
        assert_eq!(layer_marks("([0]*1+[1]*3)", 4), Some(vec![0, 1, 1, 1]));
        assert_eq!(layer_marks("2", 4), Some(vec![1, 0, 1, 0]));
        assert_eq!(layer_marks("[0,1]", 2), Some(vec![0, 1]));
        assert_eq!(layer_marks("every other", 2), None);
    }
}
