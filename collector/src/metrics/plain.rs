//! Prometheus text 0.0.4 from the OpenMetrics text: the rows are the same, what is said of families differs.
//!
//! In 0.0.4 a family is called as its rows are, ends and all; there are no infos, no units and no end mark, and a
//! help text escapes no quotes.

/// The text `open_metrics` as Prometheus text 0.0.4.
pub(super) fn from_open_metrics(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // HELP comes before the TYPE that tells what the family is called here.
    let mut help = "";
    for line in open_metrics.lines() {
        let Some(meta) = line.strip_prefix("# ") else {
            push(&mut text, &[line]);
            continue;
        };
        if let Some(rest) = meta.strip_prefix("HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = meta.strip_prefix("TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            push(
                &mut text,
                &["# HELP ", name, end, " ", &help.replace("\\\"", "\"")],
            );
            push(&mut text, &["# TYPE ", name, end, " ", kind]);
        }
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
    text.push('\n');
}

#[test]
fn families_are_called_as_their_rows() {
    let open = "# HELP a_bytes Bytes of \\\"a\\\"\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                a_bytes_total{l=\"# x\"} 1\n# HELP b What\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c C\n\
                # TYPE c gauge\nc 2.5\n# EOF\n";
    let plain = "# HELP a_bytes_total Bytes of \"a\"\n# TYPE a_bytes_total counter\na_bytes_total{l=\"# x\"} 1\n\
                 # HELP b_info What\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c C\n# TYPE c gauge\nc 2.5\n";
    assert_eq!(from_open_metrics(open), plain);
}
