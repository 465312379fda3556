//! Figures for people, in the few forms that no other package has.

/// `count` with a comma after every three digits, such as `20,468,736`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_stand_in_threes() {
        let shown = [0, 999, 1_000, 83_185, 20_468_736].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "83,185", "20,468,736"]);
    }
}
