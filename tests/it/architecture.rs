//! The rooms' order: imports point one way only.

use std::{collections::BTreeMap, fs, path::Path};

/// The rooms from the top to the bottom; those on one floor may use each other.
const FLOORS: [&[&str]; 7] = [
    &["main", "app"],
    &["door"],
    &["mcp"],
    &["tools", "upstream", "integrations"],
    &["vault", "aws"],
    &["context", "auth"],
    &[
        "config",
        "telemetry",
        "clock",
        "egress",
        "json",
        "refreshed",
    ],
];

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .unwrap_or_else(|| {
            panic!(
                "{room} is no room: give it a floor in tests/it/architecture.rs and ARCHITECTURE.md"
            )
        })
}

/// Every `crate::room` in the code of each room, test modules aside.
fn edges(folder: &Path, room: Option<&str>, found: &mut BTreeMap<(String, String), String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = room.unwrap_or(&stem);
        if path.is_dir() {
            edges(&path, Some(own), found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["lib", "tests"].contains(&&*stem)
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for used in rooms_used(code) {
                found
                    .entry((own.to_owned(), used))
                    .or_insert_with(|| path.display().to_string());
            }
        }
    }
}

/// The first names after each `crate::` or, in `main`, `rolecall::`, those in braces included.
fn rooms_used(code: &str) -> Vec<String> {
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut used = Vec::new();
    for start in ["crate::", "rolecall::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                None => used.push(name(rest)),
                Some(list) => {
                    let mut depth = 0;
                    let mut begins = true;
                    for (at, character) in list.char_indices() {
                        match character {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => begins = true,
                            _ if begins && !character.is_whitespace() => {
                                used.push(name(&list[at..]));
                                begins = false;
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

fn name(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_ascii_lowercase() || *character == '_')
        .collect()
}

#[test]
fn imports_point_down() {
    let mut found = BTreeMap::new();
    edges(&super::support::aws::root().join("src"), None, &mut found);
    assert!(found.len() > 20, "the scan finds imports: {found:?}");
    let upward: Vec<_> = found
        .iter()
        .filter(|((from, to), _)| from != to && floor(to) < floor(from))
        .map(|((from, to), path)| format!("{path}: {from} uses {to}"))
        .collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn the_scan_sees_every_form_of_import() {
    let code = "use crate::{\n    auth::{A, B},\n    config,\n};\nuse crate::door::x;\nfn f() { crate::aws::g() }\n// crate::mcp\n";
    assert_eq!(rooms_used(code), ["auth", "config", "door", "aws"]);
}

#[test]
fn there_is_one_tls_and_one_crypto_stack() {
    // What else could do TLS, or verify signatures: docs/decisions/0002.
    const OTHERS: [&str; 10] = [
        "aws-lc-rs",
        "aws-lc-sys",
        "boring",
        "jsonwebtoken",
        "native-tls",
        "openssl",
        "openssl-sys",
        "p256",
        "rsa",
        "s2n-tls",
    ];
    let lock = fs::read_to_string(super::support::aws::root().join("Cargo.lock")).unwrap();
    let names: Vec<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    assert!(names.contains(&"ring") && names.contains(&"rustls"));
    let found: Vec<_> = OTHERS
        .iter()
        .filter(|other| names.contains(other))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    for stack in ["ring", "rustls"] {
        assert_eq!(
            names.iter().filter(|name| **name == stack).count(),
            1,
            "one version of {stack}"
        );
    }
}
