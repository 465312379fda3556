//! Files that earlier versions wrote still load and come out as they went in; what is no profile says why.

use orrery_profile::{
    ContentionCurve, ContentionLaw, Fitted, Law, Link, LinkReference, Points, Profile, Provenance, Range,
};
use orrery_units::{Bytes, BytesPerSec};

/// Every kind of entry once, as written in November 2026.
const FIRST: &str = include_str!("old/profile-1-2026-11.json");

#[test]
fn a_profile_of_the_first_version_loads_and_loses_nothing() {
    let profile = Profile::from_json(FIRST).unwrap();
    assert_eq!(profile.schema, Profile::SCHEMA);
    let kinds = |wanted: fn(&Law) -> bool| profile.kernels.iter().filter(|curve| wanted(&curve.law)).count();
    assert!(kinds(|law| matches!(law, Law::Tiled(_))) > 0, "products");
    assert!(kinds(|law| matches!(law, Law::Attention(_))) > 0, "attention");
    assert!(kinds(|law| matches!(law, Law::Pass(_))) > 0, "passes");
    for curve in &profile.kernels {
        assert!(
            !curve.kernel_source.is_empty() && !curve.provenance.measured_by.is_empty(),
            "{curve:?}"
        );
    }
    assert_eq!(
        (&profile.contention, profile.links.len()),
        (&None, 0),
        "they came later"
    );
    // Nothing that the file says is dropped: what is written again holds every value of it.
    let (old, new): (serde_json::Value, serde_json::Value) = (
        serde_json::from_str(FIRST).unwrap(),
        serde_json::from_str(&profile.to_json()).unwrap(),
    );
    for later in ["contention", "links"] {
        assert_eq!(new.get(later), None, "what is not there is not written");
    }
    check_holds(&new, &old, "");
}

/// Every value of `old` stands in `new` at the same place.
fn check_holds(new: &serde_json::Value, old: &serde_json::Value, at: &str) {
    match (new, old) {
        (serde_json::Value::Object(new), serde_json::Value::Object(old)) => {
            for (key, value) in old {
                let found = new.get(key).unwrap_or_else(|| panic!("`{at}/{key}` is lost"));
                check_holds(found, value, &format!("{at}/{key}"));
            }
        }
        (serde_json::Value::Array(new), serde_json::Value::Array(old)) => {
            assert_eq!(new.len(), old.len(), "{at}");
            for (index, (new, old)) in new.iter().zip(old).enumerate() {
                check_holds(new, old, &format!("{at}/{index}"));
            }
        }
        _ => assert_eq!(new, old, "{at}"),
    }
}

/// The law of contention is a field of version 1 that may be there: it goes out and comes in, and none that cannot be does.
#[test]
fn a_profile_with_a_law_of_contention_loads() {
    let mut profile = Profile::from_json(FIRST).unwrap();
    let with = |weight: f64| ContentionCurve {
        law: ContentionLaw { weight },
        kernel_source: "cublaslt".to_owned(),
        num_units: 132,
        blocks: Range { min: 8, max: 32 },
        points: Points::default(),
        fitted: Fitted::default(),
        provenance: Provenance::default(),
    };
    profile.contention = Some(with(1.25));
    assert_eq!(Profile::from_json(&profile.to_json()).unwrap(), profile);
    profile.contention = Some(with(-0.5));
    let fault = Profile::from_json(&profile.to_json()).unwrap_err().to_string();
    assert!(fault.contains("`contention` holds `weight` = -0.5"), "{fault}");
}

/// So are references of links.
#[test]
fn a_profile_with_links_loads() {
    let mut profile = Profile::from_json(FIRST).unwrap();
    let with = |link: Link, rate: f64| LinkReference {
        link,
        bandwidth: BytesPerSec::new(rate),
        bytes: Bytes::new(1 << 28),
        provenance: Provenance::default(),
    };
    let port = || Link::Port("400 Gbit/s".to_owned());
    profile.links = vec![with(Link::Peer, 380e9), with(port(), 48e9)];
    let text = profile.to_json();
    assert!(
        text.contains(r#""link": "peer""#) && text.contains(r#""port": "400 Gbit/s""#),
        "{text}"
    );
    assert_eq!(Profile::from_json(&text).unwrap(), profile);
    let zero = text.replace("48000000000.0", "0.0");
    let fault = Profile::from_json(&zero).unwrap_err().to_string();
    assert!(
        fault.contains("`port of 400 Gbit/s` holds `bandwidth` = 0"),
        "{fault}"
    );
}

#[test]
fn another_version_is_refused_by_its_name() {
    let next = FIRST.replace("profile/1", "profile/2");
    let fault = Profile::from_json(&next).unwrap_err().to_string();
    assert!(
        fault.contains("`profile/2`") && fault.contains("reads `profile/1`"),
        "{fault}"
    );
}

#[test]
fn a_broken_file_is_told_with_its_line() {
    for end in [10, FIRST.len() / 2, FIRST.len() - 4] {
        let fault = Profile::from_json(&FIRST[..end]).unwrap_err().to_string();
        assert!(fault.contains(':'), "{fault}");
    }
}
