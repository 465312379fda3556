//! Which text a scraper is given: OpenMetrics 1.0 if its `Accept` header asks for it, else Prometheus text 0.0.4; and
//! whether it takes it in gzip.

/// How a text is coded on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Identity,
    /// In gzip.
    Gzip,
}

impl Coding {
    /// What the `Accept-Encoding` headers `headers` ask for. Gzip is chosen if it is named and wanted (RFC 9110,
    /// 12.5.3); nobody gets it unasked.
    pub(crate) fn accepted(headers: &[&str]) -> Self {
        let mut codings = headers.iter().flat_map(|header| header.split(','));
        let is_wanted = |coding: &str| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let quality = quality.trim().strip_prefix("q=").and_then(read_quality);
            name.trim().eq_ignore_ascii_case("gzip") && quality.is_some_and(|quality| quality > 0)
        };
        if codings.any(is_wanted) {
            Self::Gzip
        } else {
            Self::Identity
        }
    }
}

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4, which every scraper reads.
    Plain,
}

/// How specifically a media range names a format; of several ranges the most specific one counts (RFC 9110, 12.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// `*/*`.
    Anything,
    /// Such as `text/*`.
    Kind,
    /// The media type.
    Type,
    /// The media type with its version.
    Version,
}

/// Qualities are thousandths: RFC 9110 has three digits.
type Quality = u16;

impl Format {
    /// The media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Self::Plain => ("text", "plain", "0.0.4"),
        }
    }

    /// What the `Accept` headers `headers` ask for. OpenMetrics is chosen if it is named and wanted no less than
    /// plain text. Somebody who accepts neither gets plain text all the same: a scrape that can be read beats a
    /// refusal.
    pub(crate) fn accepted(headers: &[&str]) -> Self {
        let wanted = |format| {
            let ranges = headers.iter().flat_map(|header| header.split(','));
            ranges.filter_map(|range| match_range(range, format)).max()
        };
        let plain = wanted(Self::Plain).map_or(0, |(_, quality)| quality);
        match wanted(Self::OpenMetrics) {
            Some((naming, quality)) if naming > Naming::Anything && quality > 0 && quality >= plain => {
                Self::OpenMetrics
            }
            _ => Self::Plain,
        }
    }
}

/// How `range` names `format` and how much it wants it; nothing when it means something else or is malformed.
fn match_range(range: &str, format: Format) -> Option<(Naming, Quality)> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let (own_kind, own_subtype, own_version) = format.parts();
    let same = str::eq_ignore_ascii_case;
    let mut naming = match (kind, subtype) {
        ("*", "*") => Naming::Anything,
        (kind, "*") if same(kind, own_kind) => Naming::Kind,
        (kind, subtype) if same(kind, own_kind) && same(subtype, own_subtype) => Naming::Type,
        _ => return None,
    };
    let mut quality = 1000;
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = value.trim_matches('"');
        if same(name, "q") {
            quality = read_quality(value)?;
        } else if same(name, "version") {
            if value != own_version {
                return None;
            }
            naming = Naming::Version;
        }
    }
    Some((naming, quality))
}

/// `0`, `1`, or either with up to three digits after the point.
fn read_quality(text: &str) -> Option<Quality> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let is_number = digits.len() <= 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number {
        return None;
    }
    let thousandths: Quality = format!("{digits:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_given_to_whoever_asks_for_it() {
        for header in [
            // Prometheus 2.42, as it sends it.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            // Prometheus 3.
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=1.0.0",
            "text/plain, application/openmetrics-text",
            "application/*",
            "application/openmetrics-text; version=\"1.0.0\"; q=0.001",
        ] {
            assert_eq!(Format::accepted(&[header]), Format::OpenMetrics, "{header}");
        }
        let two = ["text/plain;q=0.5", "application/openmetrics-text;q=0.75"];
        assert_eq!(
            Format::accepted(&two),
            Format::OpenMetrics,
            "over two header lines"
        );
    }

    #[test]
    fn gzip_is_given_to_whoever_names_it_and_wants_it() {
        for header in ["gzip", "deflate, gzip;q=0.5, br", "GZIP ; q=0.001"] {
            assert_eq!(Coding::accepted(&[header]), Coding::Gzip, "{header}");
        }
        for header in [
            "",
            "*",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q",
            "x-gzip",
            "br",
        ] {
            assert_eq!(Coding::accepted(&[header]), Coding::Identity, "{header}");
        }
        assert_eq!(
            Coding::accepted(&["br", "gzip"]),
            Coding::Gzip,
            "over two header lines"
        );
    }

    #[test]
    fn everybody_else_gets_plain_text() {
        assert_eq!(Format::accepted(&[]), Format::Plain);
        for header in [
            "",
            "*/*",
            "text/plain",
            "text/html, */*;q=0.8",
            "text/plain;version=0.0.4;q=0.6, application/openmetrics-text;version=1.0.0;q=0.5",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0, */*;q=0.1",
            // The most specific range counts.
            "application/openmetrics-text;version=1.0.0;q=0, application/*;q=1",
            "application/json",
            // Malformed.
            "application/openmetrics-text;q=1.5",
            "application/openmetrics-text;q=0.1234",
            "application/openmetrics-text;q",
            "openmetrics-text",
            ";;;,,,/",
        ] {
            assert_eq!(Format::accepted(&[header]), Format::Plain, "{header}");
        }
    }
}
