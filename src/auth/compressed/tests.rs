//! What compressed claims stand for, and what they never do, whatever they hold.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn expand(claims: &Value) -> Expanded {
    let text = claims.to_string();
    let compressed: Compressed<'_> = serde_json::from_str(&text).unwrap();
    compressed.expand()
}

fn buckets_of(b: &Value) -> Vec<String> {
    let buckets = expand(&json!({ "b": b })).buckets;
    buckets
        .expect("a set, if an empty one")
        .into_iter()
        .collect()
}

fn base64_of(value: &Value) -> Value {
    json!({ "_type": "compressed", "_data": BASE64_STANDARD.encode(value.to_string()) })
}

#[test]
fn the_worked_example() {
    let expanded = expand(&json!({
        "s": "w", "p": ["g", "p", "d", "l"], "r": ["ReadWriteQuiltV2-sales-prod"],
        "b": { "_type": "groups", "_data": { "quilt": ["sandbox-bucket", "sales-raw"] } }, "l": "write",
        "iss": "quilt-frontend", "aud": "quilt-mcp-server", "sub": "user-123",
    }));
    let set = |entries: &[&str]| Some(entries.iter().map(|&entry| entry.to_owned()).collect());
    let expected = Expanded {
        scope: Some("w".to_owned()),
        permissions: set(&[
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:ListBucket",
        ]),
        roles: Some(vec!["ReadWriteQuiltV2-sales-prod".to_owned()]),
        buckets: set(&["quilt-sandbox-bucket", "quilt-sales-raw"]),
        level: Some(Level::Write),
    };
    assert_eq!(expanded, expected);
}

#[test]
fn abbreviations_are_one_to_one() {
    let shorts: BTreeSet<_> = ACTIONS.iter().map(|(short, _)| short).collect();
    let longs: BTreeSet<_> = ACTIONS.iter().map(|(_, long)| long).collect();
    assert_eq!((shorts.len(), longs.len()), (ACTIONS.len(), ACTIONS.len()));
    // The regular ones by their rule: Get, Put, Delete.
    let regular = [
        ("m", "ObjectMetadata"),
        ("l", "ObjectLockConfiguration"),
        ("t", "ObjectTagging"),
        ("r", "ObjectRetention"),
        ("c", "ObjectLegalHold"),
        ("b", "BucketLocation"),
        ("bl", "BucketLifecycle"),
        ("bt", "BucketTagging"),
        ("ba", "BucketAcl"),
        ("bp", "BucketPolicy"),
    ];
    for (end, what) in regular {
        for (letter, verb) in [("g", "Get"), ("p", "Put"), ("d", "Delete")] {
            assert_eq!(
                action(&format!("{letter}{end}")),
                format!("s3:{verb}{what}")
            );
        }
    }
    let own = [
        ("g", "s3:GetObject"),
        ("p", "s3:PutObject"),
        ("d", "s3:DeleteObject"),
        ("l", "s3:ListBucket"),
        ("la", "s3:ListAllMyBuckets"),
        ("gv", "s3:GetObjectVersion"),
        ("pa", "s3:PutObjectAcl"),
        ("amu", "s3:AbortMultipartUpload"),
    ];
    for (short, long) in own {
        assert_eq!(action(short), long);
    }
    assert_eq!(ACTIONS.len(), regular.len() * 3 + own.len());
    for other in [
        "",
        "G",
        "x",
        "gg",
        "s3:GetObject",
        "athena:StartQueryExecution",
    ] {
        assert_eq!(action(other), other);
    }
}

#[test]
fn buckets_come_in_four_forms() {
    assert_eq!(buckets_of(&json!(["b-2", "b-1", "b-1"])), ["b-1", "b-2"]);
    let groups =
        json!({ "quilt": ["sandbox-bucket", "sales-raw"], "cell": ["cellpainting-gallery"] });
    assert_eq!(
        buckets_of(&json!({ "_type": "groups", "_data": groups })),
        [
            "cell-cellpainting-gallery",
            "quilt-sales-raw",
            "quilt-sandbox-bucket"
        ]
    );
    let patterns = json!({ "quilt": ["sandbox-bucket"], "other": ["data-drop-off-bucket"] });
    assert_eq!(
        buckets_of(&json!({ "_type": "patterns", "_data": patterns })),
        ["data-drop-off-bucket", "quilt-sandbox-bucket"]
    );
    assert_eq!(buckets_of(&base64_of(&json!(["b-1", "*"]))), ["*", "b-1"]);
}

#[test]
fn what_is_malformed_permits_nothing() {
    let nothing: [String; 0] = [];
    for b in [
        json!("b-1"),
        json!(7),
        json!(true),
        json!({}),
        json!([1]),
        json!(["b-1", 1]),
        json!(["b-1", null]),
        json!({ "_type": "groups" }),
        json!({ "_data": ["b-1"] }),
        json!({ "_type": "groups", "_data": null }),
        json!({ "_type": "groups", "_data": ["b-1"] }),
        json!({ "_type": "groups", "_data": { "quilt": "b-1" } }),
        json!({ "_type": "groups", "_data": { "quilt": ["b-1"], "x": [1] } }),
        json!({ "_type": "patterns", "_data": { "other": ["b-1"], "quilt": null } }),
        json!({ "_type": "Groups", "_data": { "quilt": ["b-1"] } }),
        json!({ "_type": "gzip", "_data": "WyJiLTEiXQ==" }),
        json!({ "_type": ["groups"], "_data": { "quilt": ["b-1"] } }),
        json!({ "_type": { "groups": null }, "_data": { "quilt": ["b-1"] } }),
        json!({ "_type": "compressed", "_data": ["b-1"] }),
        json!({ "_type": "compressed", "_data": "%%%" }),
        json!({ "_type": "compressed", "_data": "WyJiLTEiXQ" }),
        json!({ "_type": "compressed", "_data": "WyJi\nLTEiXQ==" }),
        base64_of(&json!({ "quilt": ["b-1"] })),
        base64_of(&json!("b-1")),
        base64_of(&json!([["b-1"]])),
        base64_of(&json!([1])),
    ] {
        assert_eq!(buckets_of(&b), nothing, "{b}");
    }
    for p in [
        json!("g"),
        json!({ "g": true }),
        json!(7),
        json!(["g", 7]),
        json!([["g"]]),
    ] {
        let permissions = expand(&json!({ "p": p })).permissions;
        assert_eq!(permissions, Some(BTreeSet::new()), "{p}");
    }
    let others = expand(&json!({ "s": ["w"], "r": "Admin", "l": "root" }));
    assert_eq!(others.scope.as_deref(), Some(""));
    assert_eq!(others.roles.as_deref(), Some(&[][..]));
    assert_eq!(others.level, None);
}

#[test]
fn what_is_not_there_is_not_limited_and_null_is_not_there() {
    assert_eq!(expand(&json!({})), Expanded::default());
    let nulls = json!({ "s": null, "p": null, "r": null, "b": null, "l": null });
    assert_eq!(expand(&nulls), Expanded::default());
}

#[test]
fn expansion_is_bounded_in_entries_and_bytes_over_all_lists_together() {
    let entries = |count: usize| -> Vec<String> { (0..count).map(|n| format!("b-{n}")).collect() };
    assert_eq!(
        buckets_of(&json!(entries(MAX_EXPANDED_ENTRIES))).len(),
        MAX_EXPANDED_ENTRIES
    );
    assert_eq!(
        buckets_of(&json!(entries(MAX_EXPANDED_ENTRIES + 1))).len(),
        0
    );
    assert_eq!(
        buckets_of(&base64_of(&json!(entries(MAX_EXPANDED_ENTRIES + 1)))).len(),
        0
    );
    // The same entry over and over counts each time.
    assert_eq!(
        buckets_of(&json!(vec!["b"; MAX_EXPANDED_ENTRIES + 1])).len(),
        0
    );
    let shared = expand(&json!({ "p": vec!["g"; MAX_EXPANDED_ENTRIES - 1], "b": ["b-1", "b-2"] }));
    assert_eq!(shared.permissions.unwrap().len(), 1);
    assert_eq!(
        shared.buckets.unwrap().len(),
        0,
        "one entry of room was left"
    );
    // A short text that stands for a long one.
    let grown = |count: usize| {
        let suffixes: Vec<String> = (0..count).map(|n| format!("{n:03}")).collect();
        buckets_of(&json!({ "_type": "groups", "_data": { "x".repeat(1_020): suffixes } })).len()
    };
    assert_eq!(grown(256), 256);
    assert_eq!(grown(257), 0);
    let long = |bytes: usize| buckets_of(&json!(["x".repeat(bytes)])).len();
    assert_eq!(
        (long(MAX_EXPANDED_BYTES), long(MAX_EXPANDED_BYTES + 1)),
        (1, 0)
    );
    let packed = |bytes: usize| buckets_of(&base64_of(&json!(["x".repeat(bytes)]))).len();
    assert_eq!(
        (packed(MAX_EXPANDED_BYTES), packed(MAX_EXPANDED_BYTES + 1)),
        (1, 0)
    );
    assert_eq!(packed(4 * MAX_EXPANDED_BYTES), 0);
    // A little in much white space: what is too long is not decoded, whatever it would come to.
    let padded = |spaces: usize| {
        let text = format!("[\"b-1\"{}]", " ".repeat(spaces));
        let data = BASE64_STANDARD.encode(text);
        buckets_of(&json!({ "_type": "compressed", "_data": data })).len()
    };
    assert_eq!((padded(1_000), padded(4 * MAX_EXPANDED_BYTES)), (1, 0));
}

/// Any JSON, often of a shape that means something.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z*]{0,4}",
        Just("groups".to_owned()),
        Just("s3:GetObject".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,3}|quilt|_type|_data", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_strings() -> impl Strategy<Value = Value> {
    prop::collection::vec("[a-z*]{0,6}|g|la|s3:PutObject", 0..8).prop_map(Value::from)
}

fn any_buckets() -> impl Strategy<Value = Value> {
    let groups = prop::collection::btree_map("[a-z]{0,3}|quilt|\\*", any_strings(), 0..5);
    let groups = groups.prop_map(|map| Value::Object(map.into_iter().collect()));
    let typed = (
        prop_oneof![Just("groups"), Just("patterns"), Just("compressed")],
        groups,
    )
        .prop_map(|(kind, data)| json!({ "_type": kind, "_data": data }));
    prop_oneof![
        any_json(),
        any_strings(),
        typed,
        any_json().prop_map(|value| base64_of(&value)),
        any_strings().prop_map(|value| base64_of(&value)),
    ]
}

/// Every string in a value, keys aside, base64 of JSON opened; and every key before a hyphen and one of them.
fn within(value: &Value, key: Option<&str>, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
            found.extend(key.map(|key| format!("{key}-{text}")));
            let decoded = BASE64_STANDARD.decode(text).ok();
            if let Some(inner) = decoded.and_then(|json| serde_json::from_slice(&json).ok()) {
                within(&inner, None, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| within(item, key, found)),
        Value::Object(members) => members
            .iter()
            .for_each(|(key, item)| within(item, Some(key), found)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn nothing_is_granted_that_the_claim_does_not_hold(
        p in prop_oneof![any_json(), any_strings()], r in any_json(), b in any_buckets(), s in any_json(), l in any_json(),
    ) {
        let claims = json!({ "s": s, "p": p, "r": r, "b": b, "l": l });
        let expanded = expand(&claims);
        prop_assert_eq!(&expanded, &expand(&claims), "the same each time");
        let mut held = BTreeSet::new();
        within(&b, None, &mut held);
        for bucket in expanded.buckets.iter().flatten() {
            prop_assert!(held.contains(bucket), "{bucket:?} comes from nowhere in {b}");
        }
        let listed: Vec<&str> = p.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for permission in expanded.permissions.iter().flatten() {
            let from = |short: &&str| *short == permission || ACTIONS.contains(&(*short, permission));
            prop_assert!(listed.iter().any(from), "{permission:?} comes from nowhere in {p}");
        }
        for role in expanded.roles.iter().flatten() {
            prop_assert!(r.as_array().unwrap().contains(&json!(role)));
        }
        if let Some(level) = expanded.level {
            prop_assert_eq!(&l, &json!(level.as_str()));
        }
        // A twin that is there limits, whatever it holds.
        prop_assert_eq!(expanded.permissions.is_some(), !p.is_null());
        prop_assert_eq!(expanded.buckets.is_some(), !b.is_null());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(compressed) = serde_json::from_slice::<Compressed<'_>>(&bytes) {
            let _ = compressed.expand();
        }
    }
}

proptest! {
    // Fewer: each case is large.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_bounds_hold_whatever_grows(prefix in 0..4_000_usize, suffixes in 0..400_usize, plain in 0..12_000_usize) {
        let suffixes: Vec<String> = (0..suffixes).map(|n| n.to_string()).collect();
        let groups = json!({ "_type": "groups", "_data": { "x".repeat(prefix): suffixes } });
        let plain: Vec<String> = (0..plain).map(|n| n.to_string()).collect();
        let expanded = expand(&json!({ "p": plain, "r": plain, "b": groups }));
        let (permissions, buckets) = (expanded.permissions.unwrap(), expanded.buckets.unwrap());
        let roles = expanded.roles.unwrap();
        let all = permissions.iter().chain(&buckets).chain(&roles);
        let (count, bytes) = all.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.len()));
        prop_assert!(count <= MAX_EXPANDED_ENTRIES, "{count} entries");
        prop_assert!(bytes <= MAX_EXPANDED_BYTES, "{bytes} bytes");
        // All of a list or nothing of it.
        prop_assert!(buckets.is_empty() || buckets.len() == suffixes.len());
        prop_assert!(permissions.is_empty() || permissions.len() == plain.len());
    }
}
