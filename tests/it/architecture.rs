//! What holds of the sources as a whole: imports point one way only, nothing is global, and docs/SECURITY.md names tests
//! that exist.

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

/// Every file of Rust below a folder, with its text.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), text));
        }
    }
}

/// The declarations in `code` of what outlives a call, and the calls that write the environment.
fn globals(code: &str) -> Vec<&str> {
    let declares = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let line = line.strip_prefix("pub(super) ").unwrap_or(line);
        line.starts_with("static ") || line.starts_with("thread_local!")
    };
    code.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter(|line| {
            declares(line)
                || ["set_var(", "remove_var("]
                    .iter()
                    .any(|call| line.contains(call))
        })
        .collect()
}

#[test]
fn nothing_of_a_caller_can_be_global() {
    let mut found = Vec::new();
    sources(&super::support::aws::root().join("src"), &mut found);
    let mut global = Vec::new();
    for (path, text) in &found {
        if path.contains("tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        global.extend(globals(code).into_iter().map(|line| (path, line)));
    }
    // The one task-local: a call's own context, gone when the call is.
    let [(path, scope)] = &global[..] else {
        panic!("{global:#?}")
    };
    assert!(path.ends_with("context.rs"), "{path}");
    assert_eq!(*scope, "static SCOPE: Arc<RuntimeContext>;");
    // A write to the environment is unsafe, and the manifest forbids that.
    let manifest = fs::read_to_string(super::support::aws::root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    let seen = globals(
        "static A: u8 = 0;\npub static B: u8 = 0;\nthread_local! {\nunsafe { std::env::set_var(\"A\", \"\") }\nlet a: &'static str = \"\";\n",
    );
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// The full name of every test: `auth::tests::name` beside the code, `it::auth::name` in this binary.
fn tests() -> Vec<String> {
    let root = super::support::aws::root();
    let mut names = Vec::new();
    for (folder, crate_name) in [("src", None), ("tests/it", Some("it"))] {
        let folder = root.join(folder);
        let mut found = Vec::new();
        sources(&folder, &mut found);
        for (path, text) in found {
            let path = Path::new(&path).strip_prefix(&folder).unwrap();
            let path = path.with_extension("");
            let parts = path.iter().map(|part| part.to_str().unwrap());
            let mut module: Vec<&str> = crate_name.into_iter().chain(parts).collect();
            if module.last() == Some(&"mod") {
                module.pop();
            }
            if text.contains("#[cfg(test)]\nmod tests {") {
                module.push("tests");
            }
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= ["#[test]", "#[tokio::test"]
                    .iter()
                    .any(|attribute| line.starts_with(attribute));
                let line = line.strip_prefix("async ").unwrap_or(line);
                if let Some(rest) = line.strip_prefix("fn ")
                    && std::mem::take(&mut is_test)
                {
                    let name = rest.split(['(', '<']).next().unwrap();
                    names.push(format!("{}::{name}", module.join("::")));
                }
            }
        }
    }
    names
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let page = super::support::aws::root().join("docs/SECURITY.md");
    let page = fs::read_to_string(page).unwrap();
    let tests = tests();
    for name in page
        .split('`')
        .filter(|text| !text.contains(char::is_whitespace))
    {
        let is_test = name.starts_with("it::") && name != "it::" || name.contains("::tests::");
        assert!(
            !is_test || tests.contains(&name.to_owned()),
            "no such test: {name}"
        );
    }
    let mut named = 0;
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows {
        // promise, defence, tests, whether it was seen failing
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [_, defence, cell, seen] = cells[..] else {
            continue;
        };
        if ["test", "---"].contains(&cell) {
            continue;
        }
        let quoted = |cell: &str| -> Vec<String> {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let missing: Vec<_> = quoted(cell)
            .into_iter()
            .inspect(|_| named += 1)
            .filter(|name| !tests.contains(name))
            .collect();
        assert!(missing.is_empty(), "no such test: {missing:?}");
        assert!(!quoted(cell).is_empty(), "a promise without a test: {row}");
        assert!(
            seen.contains("yes") || seen.contains("nothing to remove"),
            "{row}"
        );
        for file in quoted(defence).iter().filter(|name| name.ends_with(".rs")) {
            let file = super::support::aws::root().join("src").join(file);
            assert!(file.exists(), "no such file: {row}");
        }
    }
    assert!(named > 80, "the page names its tests: {named}");
}
