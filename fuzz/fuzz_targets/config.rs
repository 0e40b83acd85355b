//! The configuration: any document is read or refused in full, and no value of it is repeated where a log would show it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rolecall::config::{Config, Reach};
use serde_json::Value;

/// Planted in the document's values, one after the other.
const PLANTED: &str = "hunter2hunter2";
/// What every variable holds.
const VARIABLE: &str = "swordfish-swordfish-swordfish-swordfish";
/// The settings that are secret.
const SECRET: [&str; 3] = ["hs256", "clientSecret", "externalId"];

fn lookup(name: &str) -> Option<String> {
    (name != "UNSET").then(|| VARIABLE.to_owned())
}

fuzz_target!(|text: &str| {
    let whole = Config::parse(text, &lookup);
    if let Err(mistakes) = &whole {
        assert!(!mistakes.is_empty(), "refused without a reason");
        let said = mistakes.to_string();
        assert!(!said.contains("swordfish"), "a variable's value: {said}");
    }
    // Where others can reach the server, it is read only if it holds no secret itself.
    let in_production = Config::parse_for(Reach::Others, text, &lookup);
    let is_fit = |config: &Config| config.mistakes_in_production().is_empty();
    assert_eq!(in_production.is_ok(), whole.as_ref().is_ok_and(is_fit));
    if let Err(mistakes) = in_production {
        let said = mistakes.to_string();
        assert!(!said.contains("swordfish"), "a variable's value: {said}");
    }
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        assert!(whole.is_err());
        return;
    };
    if let Ok(config) = &whole {
        let shown = config.effective();
        serde_json::from_str::<Value>(&shown).expect("JSON");
        // What is in a secret setting alone is not shown.
        let mut hidden = true;
        variables(&document, "", &mut hidden);
        if hidden {
            assert!(
                !format!("{shown}{config:?}").contains("swordfish"),
                "{shown}"
            );
        }
    }
    // Each value spoilt in turn: whatever is wrong with it, the mistake does not say what it was.
    let count = strings(&document);
    for index in 0..count.min(8) {
        let mut spoilt = document.clone();
        let mut left = index;
        plant(&mut spoilt, &mut left);
        let spoilt_text = spoilt.to_string();
        if names_hold(&spoilt, "hunter2") {
            continue;
        }
        if let Err(mistakes) = Config::parse(&spoilt_text, &lookup) {
            let said = mistakes.to_string();
            assert!(!said.contains(PLANTED), "{said}");
        }
    }
});

/// Whether variables are named in secret settings only.
fn variables(value: &Value, setting: &str, hidden: &mut bool) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "$env" => *hidden &= SECRET.contains(&setting),
                    // Where the secret is, and which part of it: no secrets.
                    "$secret" | "key" if member.is_object() => *hidden = false,
                    name => variables(member, name, hidden),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| variables(item, "", hidden)),
        _ => {}
    }
}

fn strings(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(members) => members.values().map(strings).sum(),
        _ => 0,
    }
}

/// Puts [`PLANTED`] into the string that comes after `left` others.
fn plant(value: &mut Value, left: &mut usize) {
    match value {
        Value::String(text) => {
            if *left == 0 {
                text.push_str(PLANTED);
            }
            *left = left.wrapping_sub(1);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| plant(item, left)),
        Value::Object(members) => members.values_mut().for_each(|member| plant(member, left)),
        _ => {}
    }
}

fn names_hold(value: &Value, text: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| names_hold(item, text)),
        Value::Object(members) => members
            .iter()
            .any(|(name, member)| name.contains(text) || names_hold(member, text)),
        _ => false,
    }
}
