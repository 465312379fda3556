//! The text of a scenario as coloured pieces: comments, headings and strings apart, faults underlined.

use std::ops::Range;

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{Color32, FontId, Stroke, Visuals};

use crate::theme;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Plain,
    Comment,
    Heading,
    Text,
}

/// `text` coloured by what its pieces are, the ranges of bytes in `faults` underlined; lines are not wrapped.
pub(super) fn coloured(text: &str, faults: &[Range<usize>], font: &FontId, visuals: &Visuals) -> LayoutJob {
    let mut job = LayoutJob::default();
    job.wrap.max_width = f32::INFINITY;
    // The text may have been typed since its faults were found: a fault must not cut a letter in two.
    let fits = |fault: &&Range<usize>| text.is_char_boundary(fault.start) && text.is_char_boundary(fault.end);
    let faults: Vec<Range<usize>> = faults.iter().filter(fits).cloned().collect();
    for (range, piece) in pieces(text) {
        for (part, is_fault) in split(range, &faults) {
            let color = match piece {
                Piece::Plain => visuals.text_color(),
                Piece::Comment => visuals.weak_text_color(),
                Piece::Heading => visuals.strong_text_color(),
                Piece::Text => theme::string(visuals),
            };
            job.append(&text[part], 0.0, format(font, color, is_fault, visuals));
        }
    }
    job
}

fn format(font: &FontId, color: Color32, is_fault: bool, visuals: &Visuals) -> TextFormat {
    let mut format = TextFormat::simple(font.clone(), color);
    if is_fault {
        format.underline = Stroke::new(2.0, theme::bad(visuals));
        format.background = theme::bad(visuals).gamma_multiply(0.2);
    }
    format
}

/// The pieces of `text` in order, without a gap. The lines of a string of many lines are strings as a whole.
fn pieces(text: &str) -> Vec<(Range<usize>, Piece)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut in_string = false;
    for line in text.split_inclusive('\n') {
        let turns = line.matches("\"\"\"").count() % 2 == 1;
        if in_string {
            pieces.push((start..start + line.len(), Piece::Text));
        } else if turns {
            let from = start + line.find('"').unwrap_or(0);
            pieces.push((start..from, Piece::Plain));
            pieces.push((from..start + line.len(), Piece::Text));
        } else if line.trim_start().starts_with('[') {
            let end = line.find('#').unwrap_or(line.len());
            pieces.push((start..start + end, Piece::Heading));
            pieces.push((start + end..start + line.len(), Piece::Comment));
        } else {
            pieces_of_line(start, line, &mut pieces);
        }
        in_string ^= turns;
        start += line.len();
    }
    pieces.retain(|(range, _)| !range.is_empty());
    pieces
}

fn pieces_of_line(start: usize, line: &str, pieces: &mut Vec<(Range<usize>, Piece)>) {
    let mut quote: Option<(char, usize)> = None;
    let mut plain = 0;
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (Some((mark, from)), letter) if letter == mark => {
                pieces.push((start + from..start + at + 1, Piece::Text));
                quote = None;
                plain = at + 1;
            }
            (Some(_), _) => {}
            (None, '"' | '\'') => {
                pieces.push((start + plain..start + at, Piece::Plain));
                quote = Some((letter, at));
            }
            (None, '#') => {
                pieces.push((start + plain..start + at, Piece::Plain));
                pieces.push((start + at..start + line.len(), Piece::Comment));
                return;
            }
            (None, _) => {}
        }
    }
    let from = quote.map_or(plain, |(_, from)| from);
    pieces.push((start + from..start + line.len(), Piece::Plain));
}

/// `range` cut where `faults` begin and end, each part with whether it is faulty.
fn split(range: Range<usize>, faults: &[Range<usize>]) -> Vec<(Range<usize>, bool)> {
    let ends = faults.iter().flat_map(|fault| [fault.start, fault.end]);
    let mut cuts: Vec<usize> = ends.filter(|cut| range.contains(cut)).collect();
    cuts.extend([range.start, range.end]);
    cuts.sort_unstable();
    cuts.dedup();
    let parts = cuts.windows(2).map(|pair| pair[0]..pair[1]);
    parts
        .map(|part| {
            let is_fault = faults.iter().any(|fault| fault.contains(&part.start));
            (part, is_fault)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[run] # now\nseed = 1 # one\nname = \"a # b\"\nopen = \"x\n";

    #[test]
    fn pieces_cover_the_text_and_know_a_hash_in_a_string() {
        let pieces = pieces(TEXT);
        let whole: String = pieces.iter().map(|(range, _)| &TEXT[range.clone()]).collect();
        assert_eq!(whole, TEXT);
        let of = |wanted: Piece| -> Vec<&str> {
            let ours = pieces.iter().filter(|(_, piece)| *piece == wanted);
            ours.map(|(range, _)| &TEXT[range.clone()]).collect()
        };
        assert_eq!(of(Piece::Heading), ["[run] "]);
        assert_eq!(of(Piece::Comment), ["# now\n", "# one\n"]);
        assert_eq!(of(Piece::Text), ["\"a # b\""]);
    }

    #[test]
    fn a_string_of_many_lines_is_one_to_its_end() {
        let text = "notes = \"\"\"\n[no heading] # and no comment\n\"\"\"\nseed = 1\n";
        let kinds: Vec<Piece> = pieces(text).into_iter().map(|(_, piece)| piece).collect();
        let expected = [Piece::Plain, Piece::Text, Piece::Text, Piece::Text, Piece::Plain];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_fault_of_an_older_text_cuts_no_letter() {
        let text = "name = \"µ\"";
        let job = coloured(
            text,
            std::slice::from_ref(&(8..9)),
            &FontId::default(),
            &Visuals::dark(),
        );
        assert_eq!(job.text, text);
    }

    #[test]
    fn faults_cut_pieces() {
        let cut = |range: Range<usize>, fault: Range<usize>| split(range, &[fault]);
        assert_eq!(split(0..10, &[]), [(0..10, false)]);
        assert_eq!(cut(0..10, 4..6), [(0..4, false), (4..6, true), (6..10, false)]);
        assert_eq!(cut(4..8, 2..6), [(4..6, true), (6..8, false)]);
    }
}
