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

/// `words` with the digits of large numbers in threads of three: of whole numbers and of what stands before a point, from
/// five digits on, so that years stay as they are.
pub(crate) fn thousands(words: &str) -> String {
    let mut text = String::with_capacity(words.len() + 8);
    let mut rest = words;
    while let Some(begin) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, number) = rest.split_at(begin);
        let end = number
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(number.len());
        let (digits, behind) = number.split_at(end);
        text.push_str(before);
        // Digits behind a point, and those of names and hashes, are no whole number.
        let joined = before.chars().next_back().or_else(|| text.chars().next_back());
        let alone = !joined.is_some_and(|letter| letter.is_alphanumeric() || ".-_".contains(letter))
            && !behind.starts_with(|letter: char| letter.is_alphabetic() || "-_".contains(letter));
        match digits.parse() {
            Ok(count) if alone && digits.len() >= 5 => text.push_str(&grouped(count)),
            _ => text.push_str(digits),
        }
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::{grouped, thousands};

    #[test]
    fn large_numbers_in_words_stand_in_threes() {
        let shown = [
            "229794 tokens/s",
            "218436 tokens/s … 241113 tokens/s",
            "4.123456 s",
            "12345.678 USD",
            "2026-09-01, seed 2026",
            "hash e51abc95a37112345",
            "step 10000, 16 GiB",
        ]
        .map(thousands);
        let expected = [
            "229,794 tokens/s",
            "218,436 tokens/s … 241,113 tokens/s",
            "4.123456 s",
            "12,345.678 USD",
            "2026-09-01, seed 2026",
            "hash e51abc95a37112345",
            "step 10,000, 16 GiB",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn digits_stand_in_threes() {
        let shown = [0, 999, 1_000, 83_185, 20_468_736].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "83,185", "20,468,736"]);
    }
}
