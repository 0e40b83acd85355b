//! The map, and the gate over it.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json, value::to_raw_value};

use super::{
    super::permission::{GET, LIST, MAP, PUT},
    *,
};
use crate::{
    app,
    auth::{Authenticator, BearerToken, Caller, Hs256Key, Judged, LoadSecret, RoleChoices, mint},
    clock::Clock,
    config::{Config, Process, SecretError},
    egress::Egress,
};

const SECRET: &str = "a secret of the issuer, 32 bytes or more";
const NOW: u64 = 1_795_000_000;

fn config(quilt: &Value) -> Config {
    let document = json!({
        "auth": { "issuers": [{ "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": SECRET }] },
        "quilt": quilt,
    });
    Config::parse(&document.to_string(), &|_| None).unwrap()
}

/// The context of a caller whose token holds these claims.
async fn context(claims: Value) -> RuntimeContext {
    let mut payload = json!({ "iss": "quilt-frontend", "aud": "quilt-mcp-server", "sub": "alice", "exp": NOW + 60 });
    payload
        .as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    let clock = Clock::from_fn(|| std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW));
    let load: LoadSecret =
        Arc::new(|_| Box::pin(async { Err(SecretError::Unusable("there is none".to_owned())) }));
    let config = config(&json!({}));
    let egress = Arc::new(Egress::new(&config.server.egress, []));
    let authenticator = Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        Arc::new(RoleChoices::new(&config.roles, false, clock)),
        &egress,
        clock,
        &load,
    );
    let token = mint(&payload, &Hs256Key::new(&SECRET.into()).unwrap());
    let token = BearerToken::parse(token.as_bytes()).unwrap();
    let Judged { principal, .. } = authenticator.judge(&token, &"test".into()).await.unwrap();
    let caller = Caller {
        principal,
        role: None,
        credentials: None,
    };
    RuntimeContext::of_caller(caller, "test".into(), Arc::default())
}

fn gate(quilt: &Value) -> Gate {
    Gate::from_config(&config(quilt).quilt)
}

/// What the gate says of a call with these claims.
async fn admit(claims: Value, tool: &str, arguments: Value) -> Result<(), Denial> {
    let arguments = to_raw_value(&arguments).unwrap();
    gate(&json!({})).admit(&context(claims).await, tool, &arguments)
}

#[test]
fn every_tool_of_ours_is_in_the_map_once_and_takes_the_arguments_it_is_judged_by() {
    let mut seen = BTreeSet::new();
    for tool in MAP.iter().flat_map(|rule| rule.tools) {
        assert!(seen.insert(*tool), "{tool} is there twice");
    }
    let definitions = app::tool_definitions(&Config::default(), &Process::default());
    let mut judged = 0;
    for definition in definitions.lines() {
        let definition: Value = serde_json::from_str(definition).unwrap();
        let tool = definition["name"].as_str().unwrap();
        let rule = rule(tool).unwrap_or_else(|| panic!("{tool} is in no rule of MAP"));
        let given = match rule.reach {
            Reach::Arguments(arguments) => arguments,
            Reach::Nothing | Reach::Any => &[],
        };
        let properties = definition["inputSchema"]["properties"].as_object().unwrap();
        for property in properties.keys().filter(|_| !rule.needs.is_empty()) {
            let names_bucket = ["bucket", "registry", "uri"]
                .iter()
                .any(|word| property.contains(word));
            let is_judged = given.iter().any(|argument| argument.name() == property);
            assert_eq!(names_bucket, is_judged, "{property} of {tool}");
        }
        if let Reach::Arguments(arguments) = rule.reach {
            for argument in arguments {
                let property = &definition["inputSchema"]["properties"][argument.name()];
                assert!(property.is_object(), "{tool} takes no {}", argument.name());
                judged += 1;
            }
        }
    }
    assert!(judged > 0);
}

#[tokio::test]
async fn a_token_without_these_claims_is_not_narrowed() {
    for tool in [
        "bucket_objects_list",
        "package_delete",
        "somebody_elses_tool",
        "",
    ] {
        assert_eq!(admit(json!({}), tool, json!({})).await, Ok(()), "{tool}");
        let silent = json!({ "permissions": null, "quilt": { "buckets": null }, "b": null, "level": "read" });
        assert_eq!(admit(silent, tool, json!({})).await, Ok(()), "{tool}");
    }
    // And whoever has no token has nothing to be narrowed by.
    let stdio = RuntimeContext::stdio("test".into(), Arc::default());
    let arguments = to_raw_value(&json!({})).unwrap();
    assert_eq!(gate(&json!({})).admit(&stdio, "x", &arguments), Ok(()));
}

#[tokio::test]
async fn all_actions_of_a_tool_must_be_permitted() {
    let arguments = json!({ "registry": "s3://own", "s3_uris": ["s3://own/a"] });
    let create = async |permissions: &[&str]| {
        let claims = json!({ "permissions": permissions });
        admit(claims, "package_create", arguments.clone()).await
    };
    assert_eq!(create(&[LIST, GET, PUT]).await, Ok(()));
    let lacking = |missing: &[&'static str]| {
        Err(Denial::Permissions {
            tool: "package_create".to_owned(),
            missing: missing.to_vec(),
        })
    };
    assert_eq!(create(&[LIST, GET]).await, lacking(&[PUT]));
    assert_eq!(create(&[]).await, lacking(&[LIST, GET, PUT]));
    // An action is known by its exact name.
    assert_eq!(
        create(&["*", "s3:*", "S3:ListBucket", "s3:ListBucket ", GET, PUT]).await,
        lacking(&[LIST])
    );
    assert_eq!(
        create(&["l", "g", "p"]).await,
        lacking(&[LIST, GET, PUT]),
        "only `p` abbreviates"
    );
    assert_eq!(
        admit(json!({ "p": ["l", "g", "p"] }), "package_create", arguments).await,
        Ok(())
    );
}

#[tokio::test]
async fn sessions_tools_need_nothing_and_unknown_ones_are_denied() {
    for claims in [
        json!({ "permissions": [] }),
        json!({ "buckets": [] }),
        json!({ "p": 7, "b": 7 }),
    ] {
        for tool in [
            "whoami",
            "auth_status",
            "get_user_permissions",
            "catalog_info",
        ] {
            assert_eq!(
                admit(claims.clone(), tool, json!({})).await,
                Ok(()),
                "{tool}"
            );
        }
        for tool in ["bucket_everything", "server__whoami", "Whoami", ""] {
            let unknown = Denial::UnknownTool {
                tool: tool.to_owned(),
            };
            assert_eq!(
                admit(claims.clone(), tool, json!({})).await,
                Err(unknown),
                "{tool}"
            );
        }
    }
}

#[tokio::test]
async fn the_bucket_must_be_among_the_token_s() {
    let claims = || json!({ "buckets": ["own-bucket", "shared"] });
    let list = async |arguments: Value| admit(claims(), "bucket_objects_list", arguments).await;
    for bucket in ["own-bucket", "s3://own-bucket", "s3://shared/"] {
        assert_eq!(list(json!({ "bucket": bucket })).await, Ok(()), "{bucket}");
    }
    for bucket in ["other", "own-bucket2", "own", "Own-bucket", "s3://other"] {
        let denied = list(json!({ "bucket": bucket })).await;
        assert!(
            matches!(denied, Err(Denial::Bucket { .. })),
            "{bucket}: {denied:?}"
        );
    }
    for bucket in [
        json!("*"),
        json!(""),
        json!("own-bucket/../other"),
        json!(["own-bucket"]),
        json!(7),
    ] {
        let denied = list(json!({ "bucket": bucket })).await;
        assert_eq!(
            denied,
            Err(Denial::NotABucket { argument: "bucket" }),
            "{bucket}"
        );
    }
    for arguments in [
        json!({}),
        json!({ "bucket": null }),
        json!({ "Bucket": "own-bucket" }),
    ] {
        let denied = list(arguments.clone()).await;
        assert_eq!(
            denied,
            Err(Denial::NoBucket { argument: "bucket" }),
            "{arguments}"
        );
    }
}

#[tokio::test]
async fn every_argument_that_names_a_bucket_is_judged() {
    let call = async |tool: &str, arguments: Value| {
        admit(json!({ "buckets": ["own-bucket"] }), tool, arguments)
            .await
            .is_ok()
    };
    assert!(
        call(
            "bucket_object_text",
            json!({ "s3_uri": "s3://own-bucket/key" })
        )
        .await
    );
    assert!(
        !call(
            "bucket_object_text",
            json!({ "s3_uri": "s3://other/own-bucket" })
        )
        .await
    );
    assert!(!call("bucket_object_text", json!({ "bucket": "own-bucket" })).await);
    let create = async |registry: &str, uris: &[&str]| {
        call(
            "package_create",
            json!({ "registry": registry, "s3_uris": uris }),
        )
        .await
    };
    assert!(
        create(
            "s3://own-bucket",
            &["s3://own-bucket/a", "s3://own-bucket/b"]
        )
        .await
    );
    assert!(!create("s3://own-bucket", &["s3://own-bucket/a", "s3://other/b"]).await);
    assert!(!create("s3://other", &["s3://own-bucket/a"]).await);
    let copy = async |registry: &str, source: &str| {
        call(
            "package_create_from_s3",
            json!({ "registry": registry, "source_bucket": source }),
        )
        .await
    };
    assert!(copy("own-bucket", "own-bucket").await);
    assert!(!copy("own-bucket", "other").await);
}

#[tokio::test]
async fn a_tool_that_may_reach_any_bucket_needs_them_all() {
    let query = async |buckets: &[&str]| {
        admit(
            json!({ "buckets": buckets }),
            "athena_query_execute",
            json!({}),
        )
        .await
    };
    assert_eq!(query(&["*"]).await, Ok(()));
    for buckets in [&["own-bucket"][..], &[]] {
        let denied = query(buckets).await;
        assert!(
            matches!(denied, Err(Denial::AnyBucket { .. })),
            "{denied:?}"
        );
    }
    let all = json!({ "buckets": ["*"] });
    assert_eq!(
        admit(all, "bucket_objects_list", json!({ "bucket": "any" })).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_token_that_differs_from_its_roles_is_refused_only_where_that_is_enforced() {
    let roles = json!({ "Reader": { "permissions": [LIST], "buckets": ["shared"] } });
    let call = async |mode: &str, tool: &str, buckets: &[&str]| {
        let quilt = json!({ "roles": roles, "parity": mode });
        let claims = json!({ "roles": ["Reader"], "permissions": [LIST], "buckets": buckets });
        let arguments = to_raw_value(&json!({ "bucket": "shared" })).unwrap();
        gate(&quilt).admit(&context(claims).await, tool, &arguments)
    };
    let more = ["shared", "more"];
    assert_eq!(
        call("enforce", "bucket_objects_list", &["shared"]).await,
        Ok(())
    );
    assert_eq!(
        call("enforce", "bucket_objects_list", &more).await,
        Err(Denial::Parity)
    );
    assert_eq!(
        call("enforce", "whoami", &more).await,
        Ok(()),
        "it needs no permission"
    );
    assert_eq!(call("report", "bucket_objects_list", &more).await, Ok(()));
}

#[test]
fn a_denial_says_what_is_missing_and_whom_to_ask() {
    let denials = [
        (
            Denial::UnknownTool {
                tool: "t".to_owned(),
            },
            "permissions t needs",
        ),
        (
            Denial::Permissions {
                tool: "t".to_owned(),
                missing: vec![LIST, GET],
            },
            "s3:ListBucket, s3:GetObject",
        ),
        (
            Denial::Bucket {
                bucket: BucketName::parse("own-bucket").unwrap(),
            },
            "the bucket own-bucket",
        ),
        (
            Denial::AnyBucket {
                tool: "t".to_owned(),
            },
            "t may reach any bucket",
        ),
        (Denial::Parity, "get_user_permissions"),
    ];
    for (denial, expected) in denials {
        let text = ToolError::from(denial).to_string();
        assert!(
            text.starts_with("Your token does not permit this"),
            "{text}"
        );
        assert!(text.contains(expected), "{text}");
        assert!(text.to_lowercase().contains("ask whoever issues"), "{text}");
    }
}
