//! Lists of collectors: names with ranges as Slurm writes them, files, and names of which DNS knows the addresses.
//!
//! `gpu[001-064,070]:9477,https://login,@more.txt,dns:collectors.example:9477`. Nothing is looked up here: files and
//! names of DNS come out as such.

use std::fmt;

use thiserror::Error;

/// The port of a collector when none is named.
pub const DEFAULT_PORT: u16 = 9477;
/// The most hosts that one list may stand for.
pub const MOST_HOSTS: usize = 65_536;

/// One host of a list, or where more of them are to be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostSpec {
    /// A collector.
    Address(HostAddress),
    /// A file of such lists, one or more a line; `#` begins a comment.
    File(String),
    /// Every address that DNS has for a name.
    Dns {
        /// The name.
        name: String,
        /// The port of the collectors there.
        port: u16,
    },
}

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress {
    /// Whether it speaks TLS.
    pub is_secure: bool,
    /// Its name or its address; one of IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Why a text is no list of hosts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostsError {
    /// It names nobody.
    #[error("the list names no host\nwrite names such as `gpu[001-064]:9477`, or `@FILE`")]
    Empty,
    /// A bracket has no other.
    #[error("`{0}` has a bracket without its other\nwrite ranges as `gpu[001-064,070]`")]
    Bracket(String),
    /// A range is none.
    #[error("`{range}` in `{item}` is no range\nwrite the smaller number first, as in `001-064`")]
    Range {
        /// The item.
        item: String,
        /// The range.
        range: String,
    },
    /// A port is none.
    #[error("`{0}` has no port between 1 and 65535 after its colon\nwrite it as in `gpu001:9477`")]
    Port(String),
    /// A name has characters that no name has.
    #[error("`{0}` is no name of a host\nwrite letters, digits, `-` and `.`, such as `gpu001.example`")]
    Name(String),
    /// The list stands for too many.
    #[error("the list stands for more than {MOST_HOSTS} hosts\nask a server of Prometheus about so many")]
    TooMany,
    /// A kind of look-up that is not there.
    #[error("`{0}`: records of services are not looked up\nname the port: `dns:NAME:9477`")]
    Service(String),
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https://" } else { "" };
        if self.host.contains(':') {
            write!(f, "{scheme}[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}{}:{}", self.host, self.port)
        }
    }
}

impl HostAddress {
    /// The address of a page of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.is_secure { "" } else { "http://" };
        format!("{scheme}{self}{path}")
    }
}

/// The hosts of `text`, in its order, ranges spelled out; commas and white space part them.
///
/// # Errors
/// When an item is malformed, or there are none or too many.
pub fn parse_hosts(text: &str) -> Result<Vec<HostSpec>, HostsError> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        for item in items(line)? {
            parse_item(item, &mut hosts)?;
        }
    }
    if hosts.is_empty() {
        return Err(HostsError::Empty);
    }
    Ok(hosts)
}

/// The list of `addresses`, in their order, as short as ranges make it; [`parse_hosts`] reads it back.
#[must_use]
pub fn shorten_hosts(addresses: &[HostAddress]) -> String {
    let mut items: Vec<String> = Vec::new();
    let mut rest = addresses;
    while let Some(first) = rest.first() {
        let num = run_length(rest);
        items.push(match (num, split_number(&first.host)) {
            (2.., Some((prefix, digits, suffix))) => {
                let last = split_number(&rest[num - 1].host).map_or("", |(_, digits, _)| digits);
                HostAddress {
                    host: format!("{prefix}[{digits}-{last}]{suffix}"),
                    ..first.clone()
                }
                .to_string()
            }
            _ => first.to_string(),
        });
        rest = &rest[num.max(1)..];
    }
    items.join(",")
}

/// How many addresses at the beginning of `addresses` one range stands for.
fn run_length(addresses: &[HostAddress]) -> usize {
    let Some((first, Some((prefix, digits, suffix)))) =
        addresses.first().map(|first| (first, split_number(&first.host)))
    else {
        return 1;
    };
    let Ok(low) = digits.parse::<u64>() else { return 1 };
    let width = width_of(digits);
    let is_next = |(step, address): &(u64, &HostAddress)| {
        low.checked_add(*step).is_some_and(|number| {
            (address.is_secure, address.port) == (first.is_secure, first.port)
                && address.host == format!("{prefix}{number:0width$}{suffix}")
        })
    };
    (0..).zip(addresses).take_while(is_next).count().max(1)
}

/// A name about its last number, where it has one; an address of IPv6 has none.
fn split_number(host: &str) -> Option<(&str, &str, &str)> {
    if host.contains(':') {
        return None;
    }
    let end = host.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let start = host[..end]
        .rfind(|letter: char| !letter.is_ascii_digit())
        .map_or(0, |at| at + 1);
    Some((&host[..start], &host[start..end], &host[end..]))
}

/// How wide a number is written: with zeros before it when its first one is so written.
fn width_of(low: &str) -> usize {
    if low.len() > 1 && low.starts_with('0') {
        low.len()
    } else {
        0
    }
}

/// The items of a line: parted by commas and white space outside brackets.
fn items(line: &str) -> Result<Vec<&str>, HostsError> {
    let mut items = Vec::new();
    let (mut start, mut is_inside) = (0, false);
    for (at, letter) in line.char_indices() {
        match letter {
            '[' if !is_inside => is_inside = true,
            ']' if is_inside => is_inside = false,
            '[' | ']' => return Err(HostsError::Bracket(line.to_owned())),
            ',' if !is_inside => {
                items.push(&line[start..at]);
                start = at + 1;
            }
            _ if letter.is_whitespace() && !is_inside => {
                items.push(&line[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    if is_inside {
        return Err(HostsError::Bracket(line.to_owned()));
    }
    items.push(&line[start..]);
    items.retain(|item| !item.is_empty());
    Ok(items)
}

fn parse_item(item: &str, hosts: &mut Vec<HostSpec>) -> Result<(), HostsError> {
    if hosts.len() >= MOST_HOSTS {
        return Err(HostsError::TooMany);
    }
    if let Some(path) = item.strip_prefix('@') {
        hosts.push(HostSpec::File(path.to_owned()));
        return Ok(());
    }
    if item.starts_with("srv:") {
        return Err(HostsError::Service(item.to_owned()));
    }
    if let Some(name) = item.strip_prefix("dns:") {
        let (name, port) = split_port(item, name)?;
        check_name(item, name)?;
        hosts.push(HostSpec::Dns {
            name: name.to_owned(),
            port,
        });
        return Ok(());
    }
    let (is_secure, address) = match item.split_once("://") {
        Some(("https", address)) => (true, address),
        Some(("http", address)) => (false, address),
        Some(_) => return Err(HostsError::Name(item.to_owned())),
        None => (false, item),
    };
    let (pattern, port) = split_port(item, address.trim_end_matches('/'))?;
    for host in expand(item, pattern)? {
        if hosts.len() >= MOST_HOSTS {
            return Err(HostsError::TooMany);
        }
        hosts.push(HostSpec::Address(HostAddress {
            is_secure,
            host,
            port,
        }));
    }
    Ok(())
}

/// What stands before the port, and the port: the colon counts that stands after all brackets.
fn split_port<'t>(item: &str, address: &'t str) -> Result<(&'t str, u16), HostsError> {
    let after = address.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = address[after..].rfind(':') else {
        return Ok((address, DEFAULT_PORT));
    };
    let (before, port) = (&address[..after + colon], &address[after + colon + 1..]);
    let digits = port.bytes().all(|letter| letter.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| port > 0 && digits);
    Ok((before, port.ok_or_else(|| HostsError::Port(item.to_owned()))?))
}

/// The names that `pattern` stands for.
fn expand(item: &str, pattern: &str) -> Result<Vec<String>, HostsError> {
    let Some((before, rest)) = pattern.split_once('[') else {
        check_name(item, pattern)?;
        return Ok(vec![pattern.to_owned()]);
    };
    let (inside, after) = rest
        .split_once(']')
        .ok_or_else(|| HostsError::Bracket(item.to_owned()))?;
    if inside.contains(':') {
        // Not a range but an address of IPv6.
        let is_address =
            inside.parse::<std::net::Ipv6Addr>().is_ok() && before.is_empty() && after.is_empty();
        return is_address
            .then(|| vec![inside.to_owned()])
            .ok_or_else(|| HostsError::Name(item.to_owned()));
    }
    let mut numbers = Vec::new();
    for range in inside.split(',') {
        spell_out(item, range.trim(), &mut numbers)?;
    }
    let ends = if after.is_empty() {
        vec![String::new()]
    } else {
        expand(item, after)?
    };
    if numbers.len().saturating_mul(ends.len()) > MOST_HOSTS {
        return Err(HostsError::TooMany);
    }
    if !before.is_empty() {
        check_name(item, before)?;
    }
    let names = numbers
        .iter()
        .flat_map(|number| ends.iter().map(move |end| format!("{before}{number}{end}")));
    Ok(names.collect())
}

/// The numbers of one range, or of one number, as they are written.
fn spell_out(item: &str, range: &str, numbers: &mut Vec<String>) -> Result<(), HostsError> {
    let fault = || HostsError::Range {
        item: item.to_owned(),
        range: range.to_owned(),
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(fault)
    };
    let (first, last) = (number(low)?, number(high)?);
    if first > last {
        return Err(fault());
    }
    if last - first >= MOST_HOSTS as u64 || numbers.len() as u64 + (last - first) >= MOST_HOSTS as u64 {
        return Err(HostsError::TooMany);
    }
    let width = width_of(low);
    numbers.extend((first..=last).map(|number| format!("{number:0width$}")));
    Ok(())
}

fn check_name(item: &str, name: &str) -> Result<(), HostsError> {
    let is_fit = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    if !name.is_empty() && name.len() <= 253 && name.chars().all(is_fit) {
        return Ok(());
    }
    Err(HostsError::Name(item.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        let hosts = parse_hosts(text).unwrap().into_iter();
        hosts
            .map(|host| match host {
                HostSpec::Address(address) => address.to_string(),
                HostSpec::File(path) => format!("file {path}"),
                HostSpec::Dns { name, port } => format!("dns {name} {port}"),
            })
            .collect()
    }

    #[test]
    fn ranges_are_spelled_out_as_slurm_does() {
        assert_eq!(
            names("gpu[001-003,070]:9000"),
            ["gpu001:9000", "gpu002:9000", "gpu003:9000", "gpu070:9000"]
        );
        assert_eq!(names("n[8-11]"), ["n8:9477", "n9:9477", "n10:9477", "n11:9477"]);
        assert_eq!(names("n[08-10]"), ["n08:9477", "n09:9477", "n10:9477"]);
        assert_eq!(
            names("r[1-2]n[3-4].x"),
            ["r1n3.x:9477", "r1n4.x:9477", "r2n3.x:9477", "r2n4.x:9477"]
        );
    }

    #[test]
    fn every_kind_of_item_is_read() {
        let text = "a, https://b:1\n# none\n@more.txt [::1]:5 [fe80::2]  http://c/ # a comment\ndns:x.example:7,dns:y";
        let expected = [
            "a:9477",
            "https://b:1",
            "file more.txt",
            "[::1]:5",
            "[fe80::2]:9477",
            "c:9477",
            "dns x.example 7",
            "dns y 9477",
        ];
        assert_eq!(names(text), expected);
        let HostSpec::Address(address) = parse_hosts("https://[::1]:5").unwrap().remove(0) else {
            panic!("it is an address");
        };
        assert_eq!(address.url("/healthz"), "https://[::1]:5/healthz");
    }

    #[test]
    fn faults_name_what_would_do() {
        for (text, fix) in [
            ("", "gpu[001-064]:9477"),
            ("# nobody", "@FILE"),
            ("gpu[1-4", "gpu[001-064,070]"),
            ("gpu1-4]", "gpu[001-064,070]"),
            ("gpu[[1]]", "gpu[001-064,070]"),
            ("gpu[4-1]", "smaller number first"),
            ("gpu[]", "smaller number first"),
            ("gpu[a-c]", "smaller number first"),
            ("gpu[1-99999999999999999999]", "smaller number first"),
            ("gpu[1-]", "smaller number first"),
            ("gpu:0", "gpu001:9477"),
            ("gpu:port", "gpu001:9477"),
            ("gpu:+80", "gpu001:9477"),
            ("ftp://gpu", "letters, digits"),
            ("g/pu", "letters, digits"),
            ("a[::1]", "letters, digits"),
            ("srv:_orrery._tcp.example", "dns:NAME:9477"),
            ("gpu[0-65536]", "server of Prometheus"),
            ("a[0-999]b[0-999]", "server of Prometheus"),
            ("a[0-40000],b[0-40000]", "server of Prometheus"),
        ] {
            let fault = parse_hosts(text).unwrap_err().to_string();
            assert!(fault.contains(fix), "{text}: {fault}");
        }
    }

    #[test]
    fn a_list_becomes_short() {
        let short = |text: &str| {
            let hosts = parse_hosts(text).unwrap().into_iter();
            let addresses = hosts.filter_map(|host| match host {
                HostSpec::Address(address) => Some(address),
                HostSpec::File(_) | HostSpec::Dns { .. } => None,
            });
            shorten_hosts(&addresses.collect::<Vec<_>>())
        };
        assert_eq!(
            short("gpu001,gpu002,gpu003,login"),
            "gpu[001-003]:9477,login:9477"
        );
        assert_eq!(short("n9,n10,n12"), "n[9-10]:9477,n12:9477");
        assert_eq!(short("n9:1,n10:2"), "n9:1,n10:2");
        assert_eq!(
            short("n09,n10,[::1],[::2]"),
            "n[09-10]:9477,[::1]:9477,[::2]:9477"
        );
    }

    fn address() -> impl Strategy<Value = HostAddress> {
        let name = prop_oneof![
            ("[a-z]{0,2}", 0u64..120, 1usize..4, "[a-z.-]{0,2}")
                .prop_map(|(before, number, width, after)| format!("{before}{number:0width$}{after}")),
            Just("::1".to_owned()),
            "[a-z]{1,4}",
        ];
        (any::<bool>(), name, 1u16..4).prop_map(|(is_secure, host, port)| HostAddress {
            is_secure,
            host,
            port,
        })
    }

    proptest! {
        #[test]
        fn a_short_list_stands_for_the_same_hosts(
            starts in prop::collection::vec((address(), 0u64..6), 1..12),
        ) {
            // Runs that ranges are made of, beside names that stand alone.
            let mut addresses = Vec::new();
            for (first, more) in starts {
                if let Some((before, digits, after)) = split_number(&first.host) {
                    let (low, width) = (digits.parse::<u64>().unwrap(), width_of(digits));
                    addresses.extend((0..=more).map(|step| HostAddress {
                        host: format!("{before}{:0width$}{after}", low + step),
                        ..first.clone()
                    }));
                } else {
                    addresses.push(first);
                }
            }
            let short = shorten_hosts(&addresses);
            let back = parse_hosts(&short).unwrap();
            let expected: Vec<HostSpec> = addresses.into_iter().map(HostSpec::Address).collect();
            prop_assert_eq!(back, expected, "{}", short);
        }

        #[test]
        fn no_text_is_a_panic(text in "[a-z0-9@:,/\\[\\]#. -]{0,40}|\\PC{0,20}") {
            if let Ok(hosts) = parse_hosts(&text) {
                prop_assert!(!hosts.is_empty() && hosts.len() <= MOST_HOSTS);
            }
        }
    }
}
