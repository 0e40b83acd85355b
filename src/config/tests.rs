use super::*;

mod production;

fn lookup(name: &str) -> Option<String> {
    match name {
        "EXTERNAL_ID" => Some("ext-42".to_owned()),
        "EMPTY" => Some(String::new()),
        "JWT_SECRET" => Some("hunter2-hunter2-hunter2-hunter2-hunter2".to_owned()),
        "SHORT_SECRET" => Some("hunter2".to_owned()),
        "PUBLIC_URL" => Some("https://mcp.example.com".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    Config::parse(text, &lookup)
        .unwrap_err()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_contract_s_example_is_read() {
    let config = Config::parse(
        r#"{ "server": { "publicUrl": "https://mcp.example.com", "allowedHosts": ["mcp.example.com"], "allowedOrigins": [] },
             "auth": { "issuers": [ { "issuer": "quilt-frontend", "audience": "quilt-mcp-server",
               "hs256": {"$secret": "arn:aws:secretsmanager:us-east-1:111122223333:secret:jwt-AbCdEf", "key": "k"} } ] },
             "roles": { "allow": ["arn:aws:iam::111122223333:role/Quilt*"], "header": "select", "externalId": {"$env":"EXTERNAL_ID"} } }"#,
        &lookup,
    )
    .unwrap();
    assert!(
        matches!(&config.auth.issuers[0].hs256, Some(SecretSetting::Stored(stored)) if stored.key.as_deref() == Some("k"))
    );
    assert!(matches!(
        &config.roles.external_id,
        Some(ExternalIdSetting(SecretSetting::Plain(_)))
    ));
    assert_eq!(config.roles.allow.len(), 1);
}

#[test]
fn an_empty_document_has_every_default() {
    let config = Config::parse("{}", &lookup).unwrap();
    assert_eq!(config.roles.duration_seconds.get(), 3_600);
    assert_eq!(config.server.max_body_bytes.get(), 4_194_304);
    assert!(config.auth.issuers.is_empty());
}

#[test]
fn all_mistakes_are_named_at_once_and_no_value_is_repeated() {
    let found = mistakes(
        r#"{ "server": { "publicUrl": "http://hunter2.example", "toolTimeoutSeconds": 0, "allowedHosts": ["ok", "hun ter2", 7, {"$env":"UNSET"}] },
             "auth": { "issuers": [
               { "issuer": "a", "audience": {"$env":"EMPTY"}, "hs256": {"$env":"SHORT_SECRET"}, "leewaySeconds": 31, "hunter": 1 },
               { "issuer": "a", "hs256": {"$secret": "hunter2"}, "maxLifetimeSeconds": "hunter2" },
               "hunter2", null ] },
             "roles": { "allow": ["hunter2"], "header": "hunter2", "externalId": "hunter 2" },
             "aws": { "region": {"$env":"AWS_REGION"} },
             "telemetry": "hunter2", "tenants": {} }"#,
    );
    let expected = [
        "server.allowedHosts[1]: expected a host such as",
        "server.allowedHosts[2]: expected a string",
        "server.allowedHosts[3]: the variable UNSET is not set",
        "server.publicUrl: must begin with https://",
        "server.toolTimeoutSeconds: expected a whole number from 1 to 900",
        "auth.issuers[0].audience: the variable EMPTY is empty",
        "auth.issuers[0].hs256: must be at least 32 bytes long",
        "auth.issuers[0].leewaySeconds: expected a whole number from 0 to 30",
        "auth.issuers[0].hunter: unknown field",
        "auth.issuers[1].issuer: is configured twice",
        "auth.issuers[1].audience: is required",
        "auth.issuers[1].hs256: not a secret's ARN",
        "auth.issuers[1].maxLifetimeSeconds: expected a whole number from 60",
        "auth.issuers[2]: expected an object",
        "auth.issuers[3]: must not be null",
        "roles.allow[0]: not a role ARN, nor one that ends in `*`",
        "roles.header: expected one of `select`, `iam`, `off`",
        "roles.externalId: must be 2 to 1,224 letters",
        "aws.region: the variable AWS_REGION belongs to AWS",
        "telemetry: expected an object",
        "tenants: unknown field `tenants`, expected one of",
    ];
    for line in expected {
        assert!(
            found.iter().any(|found| found.starts_with(line)),
            "missing {line:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        !found
            .iter()
            .any(|line| line.contains("hunter2") || line.contains("hun ter2")),
        "{found:#?}"
    );
}

#[test]
fn a_document_that_is_not_json_is_named_by_place() {
    assert_eq!(
        mistakes("{ \"auth\": hunter2 }"),
        ["configuration: not valid JSON (line 1, column 11)"]
    );
    assert_eq!(mistakes("[]"), ["configuration: expected a JSON object"]);
    assert_eq!(
        mistakes(r#"{"auth":{},"auth":{}}"#),
        ["configuration: an object has the same member twice (line 1, column 17)"]
    );
}

#[test]
fn a_mistake_names_the_right_item_of_a_list() {
    assert_eq!(
        mistakes(r#"{"auth":{"issuers":["hunter2",{"issuer":"i","audience":"a"}]}}"#),
        [
            "auth.issuers[0]: expected an object",
            "auth.issuers[1].hs256: is missing: exactly one of `hs256`, `jwks`, `registry`, `introspection` and `alb` says how tokens are judged",
        ]
    );
}

#[test]
fn an_issuer_is_judged_in_one_way() {
    let found = mistakes(
        r#"{ "auth": { "issuers": [
               { "issuer": "a", "audience": "x", "hs256": {"$env":"JWT_SECRET"}, "jwks": "discover" },
               { "issuer": "b", "jwks": "discover", "opaque": true },
               { "issuer": "c", "registry": "https://registry.example.com/?a=b", "audience": "x" },
               { "issuer": "d", "introspection": {} },
               { "issuer": "e", "audience": "x", "alb": { "signer": "hunter2", "keys": "https://keys.example.com/?" } },
               { "issuer": "f", "audience": "x", "jwks": "http://idp.example.com" },
               { "issuer": "https://idp.example.com", "audience": "", "jwks": "https://0x7f.1/" },
               { "issuer": "g", "registry": "http://registry.example.com" } ],
             "toolScopes": { "a b": ["x"], "bucket_*": [] } } }"#,
    );
    let expected = [
        "auth.issuers[5].jwks: must begin with https://",
        "auth.issuers[6].jwks: expected a URL such as",
        "auth.issuers[7].registry: must begin with https://",
        "auth.issuers[0].issuer: is judged in several ways",
        "auth.issuers[1].audience: is required where server.publicUrl is not set",
        "auth.issuers[1].opaque: is for `registry` and `introspection` only",
        "auth.issuers[1].issuer: must be an https URL for `jwks` to be discovered from",
        "auth.issuers[2].audience: has no meaning beside `registry`",
        "auth.issuers[2].registry: must have no query",
        "auth.issuers[4].alb.keys: must have no query",
        "auth.issuers[3].audience: is required where server.publicUrl is not set",
        "auth.issuers[3].introspection.url: is required",
        "auth.issuers[3].introspection.clientId: is required",
        "auth.issuers[3].introspection.clientSecret: is required",
        "auth.issuers[3].opaque: must be false here or at auth.issuers[2]",
        "auth.issuers[4].alb.signer: must be the ARN of an Application Load Balancer",
        "auth.toolScopes.a b: is no tool's name",
        "auth.toolScopes.bucket_*: must list at least one scope",
    ];
    for line in expected {
        assert!(
            found.iter().any(|found| found.starts_with(line)),
            "missing {line:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        !found.iter().any(|line| line.contains("hunter2")),
        "{found:#?}"
    );
}

#[test]
fn every_kind_of_issuer_is_read_and_shown() {
    let text = r#"{ "server": { "publicUrl": "https://mcp.example.com" }, "auth": { "issuers": [
        { "issuer": "https://idp.example.com/", "jwks": "discover" },
        { "issuer": "b", "audience": "x", "jwks": "https://idp.example.com/keys" },
        { "issuer": "c", "registry": "https://registry.example.com" },
        { "issuer": "d", "opaque": false, "introspection": { "url": "http://127.0.0.1:9/introspect", "clientId": "rolecall", "clientSecret": {"$env":"JWT_SECRET"} } },
        { "issuer": "e", "audience": "client", "alb": { "signer": "arn:aws:elasticloadbalancing:us-east-2:111122223333:loadbalancer/app/mcp/1234" } } ] } }"#;
    let config = Config::parse(text, &lookup).unwrap();
    let server = &config.server;
    let issuers = &config.auth.issuers;
    assert_eq!(issuers[0].audience(server), "https://mcp.example.com/mcp");
    assert_eq!(issuers[1].audience(server), "x");
    assert!(issuers[2].judges_opaque() && !issuers[3].judges_opaque());
    let fetched: Vec<String> = issuers
        .iter()
        .flat_map(IssuerSection::destinations)
        .map(|url| url.as_str().to_owned())
        .collect();
    assert_eq!(
        fetched,
        [
            "https://idp.example.com/",
            "https://idp.example.com/keys",
            "https://registry.example.com/",
            "http://127.0.0.1:9/introspect",
            "https://public-keys.auth.elb.us-east-2.amazonaws.com/",
        ]
    );
    assert!(!config.effective().contains("hunter2"));
}

#[test]
fn no_issuer_is_called_like_the_iam_of_an_account() {
    let found = mistakes(
        r#"{ "auth": { "issuers": [{ "issuer": "aws:iam:111122223333", "audience": "a", "hs256": "0123456789012345678901234567890123456789" }] } }"#,
    );
    let expected =
        "auth.issuers[0].issuer: begins as callers do that sign their requests (roles.iam)";
    assert_eq!(found, [expected]);
}

#[test]
fn whom_the_iam_header_believes_is_named_whole() {
    let found = mistakes(
        r#"{ "roles": { "header": "iam", "iam": { "frontDoors": [{ "kind": "rest-api" }, { "kind": "hunter2", "apiId": "a", "domainName": "d", "accountId": "1" }],
             "callers": [{ "caller": "arn:aws:sts::111122223333:assumed-role/Front*" }, {}] } } }"#,
    );
    let expected = [
        "roles.iam.frontDoors[1].kind: expected `function-url` or `rest-api`",
        "roles.iam.callers[0].caller: not a caller's ARN",
        "roles.iam.frontDoors[0].apiId: is required",
        "roles.iam.frontDoors[0].domainName: is required",
        "roles.iam.frontDoors[0].accountId: must be the 12 digits",
        "roles.iam.frontDoors[1].accountId: must be the 12 digits",
        "roles.iam.callers[0].roles: must list at least one role",
        "roles.iam.callers[1].caller: is required",
        "roles.iam.callers[1].roles: must list at least one role",
    ];
    for line in expected {
        assert!(
            found.iter().any(|found| found.starts_with(line)),
            "missing {line:?} in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert_eq!(mistakes(r#"{"roles":{"header":"iam"}}"#).len(), 1);
    assert_eq!(mistakes(r#"{"roles":{"iam":{}}}"#).len(), 1);
}

#[test]
fn a_list_is_no_section() {
    assert_eq!(
        mistakes(
            r#"{"server":[],"auth":{"issuers":[["i","a","hunter2-hunter2-hunter2-hunter2-hunter2"]]},"roles":{"allow":{}}}"#
        ),
        [
            "server: expected an object",
            "auth.issuers[0]: expected no list within a list",
            "roles.allow: expected a list",
        ]
    );
}

#[test]
fn variables_are_explicit_and_not_expanded_again() {
    let found = mistakes(
        r#"{"aws":{"region":{"$env":"EXTERNAL_ID","or":"x"}},"telemetry":{"namespace":{"$env":"a b"}}}"#,
    );
    assert_eq!(found.len(), 2, "{found:?}");
    let dollar = |_: &str| Some(r#"{"$env":"OTHER"} $OTHER"#.to_owned());
    let config = Config::parse(r#"{"aws":{"region":{"$env":"X"}}}"#, &dollar).unwrap();
    assert_eq!(
        config.aws.region.as_deref(),
        Some(r#"{"$env":"OTHER"} $OTHER"#)
    );
}

#[test]
fn the_effective_configuration_hides_secrets() {
    let config = Config::parse(
        r#"{"auth":{"issuers":[{"issuer":"a","audience":"b","hs256":{"$env":"JWT_SECRET"}}]},"roles":{"externalId":"hunter2"}}"#,
        &lookup,
    )
    .unwrap();
    let shown = format!("{}{config:?}", config.effective());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(config.effective().contains(r#""hs256": "***""#));
    assert!(config.effective().contains(r#""durationSeconds": 3600"#));
}

#[test]
fn the_effective_configuration_can_be_read_again() {
    let config = Config::parse(r#"{"auth":{"issuers":[{"issuer":"a","audience":"b","hs256":{"$secret":"arn:aws:secretsmanager:us-east-1:111122223333:secret:jwt","key":"k"}}]}}"#, &lookup).unwrap();
    let read = Config::parse(&config.effective(), &lookup).unwrap();
    assert_eq!(read.effective(), config.effective());
}

#[test]
fn the_published_schema_is_current() {
    let published = include_str!("../../docs/config.schema.json");
    assert!(
        published == Config::json_schema(),
        "docs/config.schema.json is not current: run `make schema`"
    );
}
