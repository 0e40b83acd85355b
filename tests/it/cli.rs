//! The command line: what it prints, what it refuses, and with which status.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::support::{
    Setup, TOOLS, limited,
    server::{Server, coverage},
    world,
};

fn rolecall(arguments: &[&str], config: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
    command.args(arguments).env_clear().envs(coverage());
    if let Some(config) = config {
        command.env("ROLECALL_CONFIG", config);
    }
    command.output().unwrap()
}

#[track_caller]
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_prints_the_effective_configuration_without_secrets() {
    let config = json!({ "auth": { "issuers": [{ "issuer": "i", "audience": "a", "hs256": "hunter2".repeat(6) }] } });
    let output = rolecall(&["check"], Some(&config.to_string()));
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    assert!(!printed.contains("hunter2"), "{printed}");
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["auth"]["issuers"][0]["hs256"], "***");
    assert_eq!(printed["roles"]["durationSeconds"], 3_600);
}

#[test]
fn check_names_every_mistake_and_ends_with_2() {
    let config =
        r#"{"auth":{"issuers":[{"hs256":"hunter2"}]},"rules":{},"server":{"publicUrl":"hunter2"}}"#;
    for command in ["check", "serve", "lambda", "stdio"] {
        let output = rolecall(&[command], Some(config));
        assert_eq!(output.status.code(), Some(2), "{command}");
        let printed = text(&output.stderr);
        for path in [
            "rules:",
            "server.publicUrl:",
            "auth.issuers[0].issuer:",
            "auth.issuers[0].audience:",
            "auth.issuers[0].hs256:",
        ] {
            assert!(
                printed.contains(path),
                "{command}: {path} is not in {printed}"
            );
        }
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn an_unknown_invoke_mode_is_a_mistake_among_the_others() {
    let ended = |command: &str, config: &str, mode: &str| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        let process = process.arg(command).env_clear().envs(coverage());
        let process = process.env("ROLECALL_CONFIG", config);
        process.env("ROLECALL_INVOKE_MODE", mode).output().unwrap()
    };
    for command in ["check", "serve", "lambda", "stdio"] {
        for mode in ["response_stream", "STREAM", " BUFFERED", "hunter2"] {
            let output = ended(command, r#"{"rules":{}}"#, mode);
            assert_eq!(output.status.code(), Some(2), "{command} {mode}");
            let printed = text(&output.stderr);
            for mistake in [
                "ROLECALL_INVOKE_MODE: expected BUFFERED or RESPONSE_STREAM",
                "rules:",
            ] {
                assert!(printed.contains(mistake), "{command} {mode}: {printed}");
            }
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }
    let output = ended("check", "{}", "hunter2");
    assert_eq!(output.status.code(), Some(2), "the only mistake");
    for mode in ["BUFFERED", "RESPONSE_STREAM", ""] {
        let output = ended("check", "{}", mode);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn a_configuration_is_a_file_or_a_variable() {
    let folder = std::env::temp_dir().join(format!("rolecall-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("rolecall.json");
    std::fs::write(&path, r#"{"aws":{"region":"eu-west-1"}}"#).unwrap();
    let path = path.to_str().unwrap();
    for output in [
        rolecall(&["check", "--config", path], None),
        rolecall(
            &["--config", path, "check"],
            Some(r#"{"aws":{"region":"not-this-one"}}"#),
        ),
        rolecall(&["check"], Some(path)),
        rolecall(&["check"], Some(r#" {"aws":{"region":"eu-west-1"}}"#)),
    ] {
        assert!(
            text(&output.stdout).contains("eu-west-1"),
            "{}",
            text(&output.stderr)
        );
    }
    let missing = rolecall(&["check", "--config", "/nowhere/rolecall.json"], None);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        text(&missing.stderr).contains("cannot read /nowhere/rolecall.json"),
        "{}",
        text(&missing.stderr)
    );
    // A document that is not recognised as one is taken for a path, and may hold a secret all the same.
    let quoted = rolecall(&["check"], Some(r#"'{"auth":{"hs256":"hunter2"}}'"#));
    assert_eq!(quoted.status.code(), Some(2));
    let said = text(&quoted.stderr);
    assert!(
        said.contains("ROLECALL_CONFIG") && !said.contains("hunter2"),
        "{said}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn schema_prints_a_schema_that_knows_every_section() {
    let output = rolecall(&["schema"], None);
    let schema: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    for section in ["server", "auth", "roles", "aws", "telemetry"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn a_minted_token_is_accepted() {
    limited(async {
        let server = Server::start();
        let mut setup = Setup::new();
        let role = &world().person("alice").roles[0];
        setup.arguments = ["token", "--subject", "alice", "--role", role, "--ttl", "60"]
            .map(str::to_owned)
            .to_vec();
        let output = setup.command().output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let token = text(&output.stdout).trim().to_owned();
        let content = server
            .with_token(&token)
            .call("whoami", json!({}))
            .await
            .content();
        assert_eq!(
            (&content["subject"], &content["role"]),
            (&json!("alice"), &json!(role))
        );
    });
}

#[test]
fn no_token_is_minted_that_would_be_refused() {
    let mut setup = Setup::new();
    for (arguments, expected) in [
        (["--subject", "", "--ttl", "60"], "--subject"),
        (["--subject", "alice", "--role", "Quilt"], "not a role ARN"),
        (
            ["--subject", "alice", "--ttl", "86401"],
            "maxLifetimeSeconds",
        ),
        (
            ["--subject", "alice", "--ttl", "18446744073709551615"],
            "maxLifetimeSeconds",
        ),
    ] {
        setup.arguments = std::iter::once("token")
            .chain(arguments)
            .map(str::to_owned)
            .collect();
        let output = setup.command().output().unwrap();
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {printed}");
        assert!(printed.contains(expected), "{arguments:?}: {printed}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn mistaken_commands_are_told_apart_from_failures() {
    assert_eq!(rolecall(&[], None).status.code(), Some(2));
    assert_eq!(rolecall(&["nonsense"], None).status.code(), Some(2));
    assert_eq!(
        rolecall(&["token", "--subject", "x"], None).status.code(),
        Some(2)
    );
    let lambda = rolecall(&["lambda"], Some(&json!({ "auth": { "issuers": [{ "issuer": "i", "audience": "a", "jwks": "https://idp.example.com/keys" }] } }).to_string()));
    assert_eq!(lambda.status.code(), Some(2));
    assert!(
        text(&lambda.stderr).contains("AWS_LAMBDA_RUNTIME_API is not set"),
        "{}",
        text(&lambda.stderr)
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut setup = Setup::no_auth();
    setup.arguments[2] = taken.local_addr().unwrap().to_string();
    let output = setup.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot listen on"),
        "{}",
        text(&output.stderr)
    );
    let version = rolecall(&["--version"], None);
    assert_eq!(
        text(&version.stdout),
        format!("rolecall {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_auth_says_so_loudly() {
    let server = Setup::no_auth().start();
    let lines = server.ended().lines();
    assert!(lines.iter().any(|line| {
        line["level"] == "WARN"
            && line["message"]
                .as_str()
                .unwrap()
                .contains("AUTHENTICATION IS OFF")
    }));
}

#[test]
fn the_examples_are_good_configurations() {
    let folder = super::support::aws::root().join("examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let output = rolecall(&["check", "--config", path.to_str().unwrap()], None);
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                text(&output.stderr)
            );
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn the_readme_s_configurations_are_good() {
    let readme = std::fs::read_to_string(super::support::aws::root().join("README.md")).unwrap();
    let blocks = readme.split("```json\n").skip(1);
    let mut kinds = Vec::new();
    for block in blocks.map(|rest| rest.split("```").next().unwrap()) {
        // Others are of clients, and of IAM.
        let config: Value = serde_json::from_str(block).unwrap();
        let config = if config.get("issuer").is_some() {
            let known = ["hs256", "jwks", "registry", "introspection", "alb"];
            kinds.extend(known.iter().filter(|kind| config.get(kind).is_some()));
            json!({ "auth": { "issuers": [config] } })
        } else if config.get("roles").is_some() {
            kinds.push("roles");
            config
        } else {
            continue;
        };
        let output = rolecall(&["check"], Some(&config.to_string()));
        assert!(
            output.status.success(),
            "{config}: {}",
            text(&output.stderr)
        );
    }
    let expected = ["hs256", "jwks", "registry", "introspection", "alb", "roles"];
    assert_eq!(kinds, expected);
}

/// The paths of all settings of a schema: `server.publicUrl`, `auth.issuers[].issuer`.
fn leaves(schema: &Value, part: &Value, path: &str, found: &mut Vec<String>) {
    let target = |part: &Value| -> Option<Value> {
        let forms = part["anyOf"].as_array().into_iter().flatten();
        let reference = std::iter::once(part)
            .chain(forms)
            .find_map(|form| form["$ref"].as_str())?;
        let part = schema.pointer(reference.trim_start_matches('#'))?;
        part.get("properties")
            .is_some_and(|_| reference != "#/$defs/Variable")
            .then(|| part.clone())
    };
    for (name, property) in part["properties"].as_object().unwrap() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if let Some(section) = target(property) {
            leaves(schema, &section, &path, found);
        } else if let Some(section) = property.get("items").and_then(&target) {
            leaves(schema, &section, &format!("{path}[]"), found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn the_readme_names_every_setting_and_every_tool() {
    let readme = std::fs::read_to_string(super::support::aws::root().join("README.md")).unwrap();
    let schema: Value = serde_json::from_str(&text(&rolecall(&["schema"], None).stdout)).unwrap();
    let mut settings = Vec::new();
    leaves(&schema, &schema, "", &mut settings);
    for setting in settings.iter().filter(|setting| *setting != "$schema") {
        assert!(
            readme.contains(&format!("`{setting}`")),
            "README.md lacks {setting}"
        );
    }
    for tool in TOOLS {
        assert!(
            readme.contains(&format!("| `{tool}")),
            "README.md lacks {tool}"
        );
    }
}
