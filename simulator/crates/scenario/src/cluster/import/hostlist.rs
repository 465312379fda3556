//! Host lists as Slurm writes them: `rack[1-2]node[01-18],login`.

/// The most hosts that a list may name: more is a slip of the pen.
const MOST_HOSTS: usize = 1 << 20;

/// The hosts of `text`, in order.
///
/// # Errors
/// What is wrong with it.
///
/// ```
/// use orrery_scenario::cluster::import::hostlist;
/// assert_eq!(hostlist("n[08-10],m").expect("it reads"), ["n08", "n09", "n10", "m"]);
/// ```
pub fn hostlist(text: &str) -> Result<Vec<String>, String> {
    let mut hosts = Vec::new();
    for item in split(text)? {
        if item.is_empty() {
            return Err(format!("an empty name in `{text}`"));
        }
        hosts.extend(expand(item)?);
        if hosts.len() > MOST_HOSTS {
            return Err(format!("`{text}` names more than {MOST_HOSTS} hosts"));
        }
    }
    Ok(hosts)
}

/// The items between commas that stand outside brackets.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut items = Vec::new();
    let (mut start, mut is_inside) = (0, false);
    for (position, character) in text.char_indices() {
        match character {
            '[' if is_inside => return Err(format!("a bracket within a bracket in `{text}`")),
            '[' => is_inside = true,
            ']' if !is_inside => return Err(format!("a `]` without its `[` in `{text}`")),
            ']' => is_inside = false,
            ',' if !is_inside => {
                items.push(&text[start..position]);
                start = position + 1;
            }
            _ => {}
        }
    }
    if is_inside {
        return Err(format!("a `[` without its `]` in `{text}`"));
    }
    items.push(&text[start..]);
    Ok(items)
}

/// The hosts of one item: every bracket takes each of its values.
fn expand(item: &str) -> Result<Vec<String>, String> {
    let mut hosts = vec![String::new()];
    let mut rest = item;
    while let Some((before, after)) = rest.split_once('[') {
        let (inside, after) = after
            .split_once(']')
            .ok_or_else(|| format!("a `[` without its `]` in `{item}`"))?;
        let values = values(inside, item)?;
        if hosts.len().saturating_mul(values.len()) > MOST_HOSTS {
            return Err(format!("`{item}` names more than {MOST_HOSTS} hosts"));
        }
        hosts = hosts
            .iter()
            .flat_map(|host| values.iter().map(move |value| format!("{host}{before}{value}")))
            .collect();
        rest = after;
    }
    for host in &mut hosts {
        host.push_str(rest);
    }
    Ok(hosts)
}

/// The values of `0-3,12`, with the zeros that they are written with.
fn values(inside: &str, item: &str) -> Result<Vec<String>, String> {
    let mut values = Vec::new();
    for range in inside.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            let parsed = text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
            parsed.ok_or_else(|| format!("`{range}` in `{item}` is no range of numbers"))
        };
        let (low, high) = (number(first)?, number(last)?);
        if high < low {
            return Err(format!("the range `{range}` in `{item}` runs backwards"));
        }
        if high - low >= MOST_HOSTS as u64 {
            return Err(format!("`{item}` names more than {MOST_HOSTS} hosts"));
        }
        let width = first.len();
        values.extend((low..=high).map(|value| format!("{value:0width$}")));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(hostlist(text).expect("it reads"), expected, "{text}");
    }

    #[test]
    fn lists_expand_in_order() {
        check("tux[0-3,12]", &["tux0", "tux1", "tux2", "tux3", "tux12"]);
        check("r[1-2]n[01-02]", &["r1n01", "r1n02", "r2n01", "r2n02"]);
        check("a,b[9-11]x", &["a", "b9x", "b10x", "b11x"]);
    }

    #[test]
    fn slips_are_named() {
        for text in [
            "n[1-",
            "n1-3]",
            "n[3-1]",
            "n[a-b]",
            "n[1-2],,m",
            "n[[1]]",
            "n[0-9999999]",
        ] {
            assert!(hostlist(text).is_err(), "{text}");
        }
    }
}
