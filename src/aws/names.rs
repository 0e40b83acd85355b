//! A caller's name, as STS and CloudTrail know it.
//!
//! Owns the encoding of a subject into the alphabet of STS's names. In comes a subject; out go a session name and a
//! source identity that no other subject has.
//! Source: STS API reference, "`AssumeRole`", `RoleSessionName` and `SourceIdentity`.

use std::fmt::Write;

use ring::digest;

use crate::clock::UnixSeconds;

/// The most that STS takes as a name of a session, or as a source identity.
const MAX_NAME: usize = 64;

/// The subject as STS's `SourceIdentity`: itself where the alphabet and the length allow, else marked and hashed. No
/// two subjects share one.
pub(super) fn source_identity(subject: &str) -> String {
    encoded(subject, MAX_NAME)
}

/// `mcp-{subject}-{seconds since the epoch}`, at most 64 long.
pub(super) fn session_name(subject: &str, now: UnixSeconds) -> String {
    let time = now.to_string();
    format!(
        "mcp-{}-{time}",
        encoded(subject, MAX_NAME - "mcp--".len() - time.len())
    )
}

/// How much of a hash stands for a subject: 96 bits.
const HASH_DIGITS: usize = 24;

/// `subject` in `[\w+=,.@-]`, 2 to `max` long. A subject that must be changed is marked by a leading `=` and ends in 24
/// hexadecimal digits of its hash, so that it is neither another subject nor another one's changed form.
fn encoded(subject: &str, max: usize) -> String {
    let is_allowed =
        |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    let as_it_is = (2..=max).contains(&subject.len())
        && subject.chars().all(is_allowed)
        && !subject.starts_with('=');
    if as_it_is {
        return subject.to_owned();
    }
    let kept = max.saturating_sub(HASH_DIGITS + "=-".len());
    let mut text = String::from("=");
    text.extend(subject.chars().take(kept).map(|character| {
        if is_allowed(character) {
            character
        } else {
            '-'
        }
    }));
    text.push('-');
    for byte in &sha256(subject)[..HASH_DIGITS / 2] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The hash of a text.
pub(super) fn sha256(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_sts_accepts_is_kept() {
        for subject in [
            "alice",
            "alice@example.com",
            "auth0=1,2.3+4-5_6",
            &"a".repeat(64),
        ] {
            assert_eq!(source_identity(subject), subject);
        }
        assert_eq!(session_name("alice", 1_795_000_000), "mcp-alice-1795000000");
    }

    #[test]
    fn a_subject_that_sts_does_not_accept_is_encoded_without_collision() {
        let long = "a".repeat(65);
        let others = [
            "a",
            "auth0|123",
            "auth0 123",
            "auth0/123",
            "Zoë",
            "Zoé",
            "=alice",
            &long,
            &format!("{long}b"),
        ];
        let mut seen = std::collections::HashSet::new();
        for subject in others {
            let encoded = source_identity(subject);
            assert!((2..=64).contains(&encoded.len()), "{encoded}");
            assert!(
                encoded
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)),
                "{encoded}"
            );
            assert!(seen.insert(encoded.clone()), "{subject} collides");
            // A subject that is written like another's encoded form is encoded again.
            assert!(seen.insert(source_identity(&encoded)), "{encoded} collides");
            assert!(session_name(subject, 1_795_000_000).len() <= 64);
        }
        assert!(source_identity("auth0|123").starts_with("=auth0-123-"));
    }
}
