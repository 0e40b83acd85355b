//! What a configuration may hold where others can reach the server.

use super::*;

const REFUSED: &str = r#"in production a secret must be in Secrets Manager: {"$secret":"<ARN>"}"#;
/// Long enough for every setting.
const PLAIN: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

#[track_caller]
fn mistakes_for(reach: Reach, text: &str) -> Vec<String> {
    match Config::parse_for(reach, text, &lookup) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Each place where the schema has a secret: its path, and a document that has one just there.
fn places_of_secrets(schema: &Value, root: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    match schema["$ref"].as_str() {
        Some("#/$defs/Secret") => places.push((String::new(), json!(PLAIN))),
        Some(name) => {
            let definition = root.pointer(name.trim_start_matches('#')).unwrap();
            places.extend(places_of_secrets(definition, root));
        }
        None => {}
    }
    for forms in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        for form in schema[forms].as_array().into_iter().flatten() {
            places.extend(places_of_secrets(form, root));
        }
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        for (path, value) in places_of_secrets(member, root) {
            places.push((format!(".{name}{path}"), json!({ name: value })));
        }
    }
    if schema["items"].is_object() {
        for (path, value) in places_of_secrets(&schema["items"], root) {
            places.push((format!("[0]{path}"), json!([value])));
        }
    }
    if schema["additionalProperties"].is_object() {
        for (path, value) in places_of_secrets(&schema["additionalProperties"], root) {
            places.push((format!(".any{path}"), json!({ "any": value })));
        }
    }
    places
}

#[test]
fn in_production_no_setting_that_is_a_secret_may_be_plain() {
    let schema: Value = serde_json::from_str(&Config::json_schema()).unwrap();
    let places = places_of_secrets(&schema, &schema);
    let paths: Vec<&str> = places
        .iter()
        .map(|(path, _)| path.trim_start_matches('.'))
        .collect();
    for known in [
        "auth.issuers[0].hs256",
        "auth.issuers[0].introspection.clientSecret",
    ] {
        assert!(paths.contains(&known), "{known} is not in {paths:?}");
    }
    for ((_, document), path) in places.iter().zip(paths) {
        let expected = format!("{path}: {REFUSED}");
        let found = mistakes_for(Reach::Others, &document.to_string());
        assert!(
            found.contains(&expected),
            "missing {expected:?} in {found:#?}: is it among Config::secrets?"
        );
        let found = mistakes_for(Reach::ThisMachine, &document.to_string());
        assert!(!found.contains(&expected), "{found:#?}");
    }
}

/// Secrets from the document and from variables, beside what may be anywhere.
const MIXED: &str = r#"{ "server": { "publicUrl": {"$env":"PUBLIC_URL"} }, "auth": { "issuers": [
    { "issuer": "a", "audience": {"$env":"EXTERNAL_ID"}, "hs256": {"$env":"JWT_SECRET"} },
    { "issuer": "b", "audience": "x", "hs256": {"$secret":"arn:aws:secretsmanager:us-east-1:111122223333:secret:jwt"} },
    { "issuer": "c", "introspection": { "url": "https://idp.example.com/introspect", "clientId": "rolecall", "clientSecret": "hunter2" } },
    { "issuer": "d", "audience": "x", "hs256": "hunter2-hunter2-hunter2-hunter2-hunter2" } ] },
    "roles": { "externalId": {"$env":"EXTERNAL_ID"} } }"#;

#[test]
fn in_production_all_plain_secrets_are_named_at_once() {
    let expected = [
        "auth.issuers[0].hs256",
        "auth.issuers[2].introspection.clientSecret",
        "auth.issuers[3].hs256",
    ]
    .map(|path| format!("{path}: {REFUSED}"));
    assert_eq!(mistakes_for(Reach::Others, MIXED), expected);
    // On this machine they are fine, and what production would say can be asked.
    let config = Config::parse(MIXED, &lookup).unwrap();
    let said = config.mistakes_in_production().to_string();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn in_production_other_mistakes_are_named_too_and_a_secret_s_own_are_not() {
    let found = mistakes_for(
        Reach::Others,
        r#"{ "rules": {}, "auth": { "issuers": [ null,
             { "issuer": "a", "hs256": {"$env":"SHORT_SECRET"} }, { "issuer": "b", "audience": "x", "hs256": {"$env":"UNSET"} } ] } }"#,
    );
    assert_eq!(
        found,
        [
            "auth.issuers[0]: must not be null: leave it out instead",
            "auth.issuers[2].hs256: the variable UNSET is not set",
            "rules: unknown field `rules`, expected one of `$schema`, `server`, `auth`, `roles`, `aws`, `quilt`, `telemetry`",
            &format!("auth.issuers[1].hs256: {REFUSED}"),
            "auth.issuers[1].audience: is required: the value that the `aud` claim must hold",
        ]
    );
}

#[test]
fn in_production_what_is_stored_is_read_and_an_external_id_is_no_secret() {
    let stored = r#"{"$secret":"arn:aws:secretsmanager:us-east-1:111122223333:secret:jwt"}"#;
    for external_id in [r#"{"$env":"EXTERNAL_ID"}"#, r#""ext-42""#, stored] {
        let text = format!(
            r#"{{"server":{{"publicUrl":{{"$env":"PUBLIC_URL"}}}},"roles":{{"externalId":{external_id}}},
                "auth":{{"issuers":[{{"issuer":"a","audience":"x","hs256":{stored}}}]}}}}"#
        );
        let config = Config::parse_for(Reach::Others, &text, &lookup).unwrap();
        assert!(config.mistakes_in_production().is_empty());
    }
}
