//! The ARN grammar: what is accepted is of the documented form, is shown as it was written, and matches nothing else.
//! The first line is a pattern, the second what it is held against.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolecall::config::arn::{CallerPattern, RoleArn, RolePattern, SecretArn};

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    role(first);
    role(second);
    pattern(first, second);
    caller(first, second);
    secret(first);
});

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_partition(text: &str) -> bool {
    matches!(text, "aws" | "aws-cn" | "aws-us-gov")
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

fn role(text: &str) {
    let Ok(role) = text.parse::<RoleArn>() else {
        return;
    };
    assert_eq!(role.to_string(), text);
    assert_eq!(role.as_str(), text);
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else {
        panic!("not six parts: {text:?}")
    };
    assert!(is_partition(partition) && is_account(account), "{text:?}");
    assert_eq!(role.account(), account);
    let words: Vec<&str> = resource.split('/').collect();
    assert!(words.len() > 1 && words[0] == "role", "{text:?}");
    assert!(words[1..].iter().all(|word| is_word(word)), "{text:?}");
    assert_eq!(Some(&role.name()), words.last());
    assert!(role.name().len() <= 64 && resource.len() <= 600, "{text:?}");
    assert!(
        words.len() == 2 || words[1] != "aws-service-role",
        "{text:?}"
    );
    // What names one role matches that role, and an account's wildcard matches all of its roles.
    let exact: RolePattern = text.parse().expect("a role is a pattern");
    assert!(exact.matches(&role));
    let all = format!("arn:{partition}:iam::{account}:role/*");
    assert!(
        all.parse::<RolePattern>()
            .expect("a pattern")
            .matches(&role)
    );
}

fn pattern(text: &str, role: &str) {
    let Ok(pattern) = text.parse::<RolePattern>() else {
        return;
    };
    assert_eq!(pattern.to_string(), text);
    let prefix = text.trim_end_matches('*');
    assert!(
        text.len() - prefix.len() <= 1 && !prefix.contains('*'),
        "{text:?}"
    );
    // The account is fixed whatever the pattern.
    let account = prefix.split(':').nth(4).expect("an account");
    assert!(is_account(account) && prefix.contains(":role/"), "{text:?}");
    if let Ok(role) = role.parse::<RoleArn>() {
        let expected = if prefix == text {
            role.as_str() == text
        } else {
            role.as_str().starts_with(prefix)
        };
        assert_eq!(pattern.matches(&role), expected, "{text:?} {role}");
        assert!(!expected || role.account() == account);
    }
}

fn caller(text: &str, arn: &str) {
    let Ok(pattern) = text.parse::<CallerPattern>() else {
        return;
    };
    assert_eq!(pattern.to_string(), text);
    let open = text.ends_with('*');
    let named = text.strip_suffix('*').unwrap_or(text);
    assert!(!named.contains('*') && named.is_ascii(), "{text:?}");
    if open {
        assert!(
            text.contains(":assumed-role/") && text.ends_with("/*"),
            "{text:?}"
        );
        assert!(pattern.matches(&format!("{named}session")));
        assert!(!pattern.matches(named), "a session has a name");
        assert!(!pattern.matches(&format!("{named}a/b")));
    } else {
        assert!(pattern.matches(text));
        assert!(!pattern.matches(&format!("{text}x")), "{text:?}");
    }
    if pattern.matches(arn) {
        let rest = arn
            .strip_prefix(named)
            .expect("it begins as the pattern does");
        assert!(
            if open { is_word(rest) } else { rest.is_empty() },
            "{text:?} {arn:?}"
        );
    }
}

fn secret(text: &str) {
    let Ok(secret) = text.parse::<SecretArn>() else {
        return;
    };
    assert_eq!(secret.as_str(), text);
    let parts: Vec<&str> = text.split(':').collect();
    let [
        "arn",
        partition,
        "secretsmanager",
        region,
        account,
        "secret",
        name,
    ] = parts[..]
    else {
        panic!("not seven parts: {text:?}")
    };
    assert!(is_partition(partition) && is_account(account), "{text:?}");
    assert_eq!(secret.region(), region);
    // The region becomes part of a host's name.
    let of_a_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        !region.is_empty() && region.chars().all(of_a_host),
        "{text:?}"
    );
    assert!(!name.is_empty() && name.is_ascii(), "{text:?}");
}
