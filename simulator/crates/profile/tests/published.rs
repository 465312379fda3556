//! The profiles that ship are what the published tables give, to the byte.

#[path = "../examples/fit_published/published/mod.rs"]
mod published;

use std::path::Path;

use orrery_profile::Profile;

#[test]
fn shipped_profiles_are_what_the_tables_give() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let fitted = published::profiles(&root.join("tests/truth")).unwrap();
    assert_eq!(fitted.len(), 12);
    for profile in fitted {
        let file = root.join(format!("scenarios/profiles/{}.profile.json", profile.name));
        let shipped = std::fs::read_to_string(&file).unwrap();
        assert!(
            profile.to_json() == shipped,
            "{} is stale: run the example fit_published",
            profile.name
        );
        assert_eq!(Profile::from_json(&shipped).unwrap(), profile);
    }
}

#[test]
fn a_profile_of_another_version_is_refused() {
    let text = Profile {
        schema: "profile/9".to_owned(),
        ..Profile::default()
    };
    let fault = Profile::from_json(&text.to_json()).unwrap_err().to_string();
    assert!(
        fault.contains("profile/9") && fault.contains("profile/1"),
        "{fault}"
    );
}
