//! Buckets: whatever way one is written, the name that the gate judges is the one that can be read in it, and goes into a
//! URL as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolecall::tools::BucketName;

fuzz_target!(|text: &str| {
    if let Ok(name) = BucketName::parse(text) {
        check(&name);
        let bare = text.strip_prefix("s3://").unwrap_or(text);
        let rest = bare.strip_prefix(name.as_str()).expect("it is written so");
        assert!(rest.chars().all(|c| c == '/'), "{text:?}");
        assert!(rest.is_empty() || bare != text, "{text:?}");
        // The name alone, and its address, name the same.
        let address = format!("s3://{name}/a/key?versionId=1");
        assert_eq!(BucketName::of_uri(&address).as_ref(), Ok(&name));
    }
    if let Ok(name) = BucketName::of_uri(text) {
        check(&name);
        let rest = text.strip_prefix("s3://").expect("an address");
        assert_eq!(rest.split('/').next(), Some(name.as_str()), "{text:?}");
    }
});

fn check(name: &BucketName) {
    let text = name.as_str();
    assert!((3..=255).contains(&text.len()), "{text:?}");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    assert!(text.chars().all(plain), "{text:?}");
    assert_eq!(name.to_string(), text);
    assert_eq!(BucketName::parse(text).as_ref(), Ok(name));
}
