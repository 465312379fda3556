//! Diagnostics as text for people: the line, a mark under it, and what to write instead.

use std::fmt::Write as _;

use crate::{Diagnostic, Severity};

/// `diagnostics` as compilers print them, with a closing count.
///
/// ```text
/// error[S014]: unknown key `expert_parallel` in [parallel]
///    ┌─ train.scenario.toml:41:1
/// 41 │ expert_parallel = 64
///    │ ^^^^^^^^^^^^^^^ did you mean `ep`?
///    = valid keys: tp, pp, ep, cp, dp
/// ```
#[must_use]
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&render_one(diagnostic));
        out.push('\n');
    }
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let closing = format!(
        "{errors} error{}, {warnings} warning{}.",
        plural(errors),
        plural(warnings)
    );
    out.push_str(&closing);
    if errors > 0 {
        out.push_str(" Nothing was run.");
    }
    out.push('\n');
    out
}

/// One diagnostic with its line of source.
#[must_use]
pub fn render_one(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let number = diagnostic.line.to_string();
    let pad = " ".repeat(number.len());
    let mut lines = vec![
        format!("{severity}[{}]: {}", diagnostic.code, diagnostic.message),
        format!(
            "{pad} ┌─ {}:{}:{}",
            diagnostic.file, diagnostic.line, diagnostic.column
        ),
        format!("{number} │ {}", diagnostic.snippet),
    ];
    let before: String = diagnostic
        .snippet
        .chars()
        .take(diagnostic.column - 1)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let marked = mark_width(diagnostic);
    let label = format!("{pad} │ {before}{} {}", "^".repeat(marked), diagnostic.label);
    lines.push(label.trim_end().to_owned());
    lines.extend(diagnostic.notes.iter().map(|note| format!("{pad} = {note}")));
    lines.extend(diagnostic.help.iter().map(|help| format!("{pad} = help: {help}")));
    let mut out = String::new();
    for line in lines {
        writeln!(out, "{line}").expect("writing to a string cannot fail");
    }
    out
}

/// Characters to mark: the span, as far as it lies on its first line, and at least one.
fn mark_width(diagnostic: &Diagnostic) -> usize {
    let rest: String = diagnostic.snippet.chars().skip(diagnostic.column - 1).collect();
    let bytes = diagnostic.span.len().min(rest.len());
    let end = (0..=bytes)
        .rev()
        .find(|&at| rest.is_char_boundary(at))
        .unwrap_or(0);
    rest[..end].chars().count().max(1)
}
