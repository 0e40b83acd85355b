//! Callers over stdio and over HTTP at once: in two processes beside each other, and at one edge of one process.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use rolecall::{
    app::secret_loader,
    auth::{Authenticator, RoleChoices},
    aws::{Aws, RoleBroker, Sdk},
    clock::Clock,
    config::Config,
    context::{Authority, RuntimeContext},
    door::{self, HostPolicy, Services, Transport},
    egress::Egress,
    mcp::{Edge, Registry, ToolScopes},
    telemetry::Metrics,
    tools::{Tool, ToolError},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::{
    stdio::{Client, request},
    support::{claims, limited, server::Server, world},
};

#[test]
fn a_stdio_process_with_its_own_profile_and_a_server_s_callers_keep_apart() {
    limited(async {
        let server = Server::start();
        let mut local = Client::start(json!({}));
        for round in 0..10 {
            let call = json!({ "name": "auth_status" });
            local.send(request(round, "tools/call", call).to_string().as_bytes());
            let people = ["alice", "bob"].map(|name| {
                let caller = server.user(name);
                async move { (name, caller.call("auth_status", json!({})).await.content()) }
            });
            for (name, status) in join_all(people).await {
                assert_eq!(status["caller"]["subject"], name);
                assert_eq!(status["aws"]["account"], world().person(name).account);
            }
            let answer = local.receive();
            assert_eq!(answer["id"], round);
            let status = &answer["result"]["structuredContent"];
            assert_eq!(status["caller"]["environment"], "desktop-stdio");
            assert_eq!(status["caller"]["subject"], Value::Null);
            // The profile's user, and nobody's role.
            assert_eq!(
                status["aws"]["arn"], "arn:aws:iam::123456789012:user/rolecall",
                "{status}"
            );
        }
        assert!(local.end().is_empty());
    });
}

/// A tool that says for whom it works, before and after others had their turn.
fn seen() -> Tool {
    let definition = json!({ "name": "seen", "inputSchema": { "type": "object" } });
    Tool::raw("seen", &definition, |_, _| async {
        let look = || {
            let context = RuntimeContext::current()?;
            let subject = context
                .principal()
                .map(|principal| principal.subject().to_owned());
            let authority = match context.authority() {
                Ok(Authority::Process) => "process".to_owned(),
                Ok(Authority::Role(role)) => role.arn().to_string(),
                Ok(Authority::Given(_)) => "given".to_owned(),
                Err(nobody) => format!("{nobody:?}"),
            };
            Ok::<_, ToolError>(json!({ "subject": subject, "authority": authority }))
        };
        let before = look()?;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let result =
            json!({ "content": [], "structuredContent": { "before": before, "after": look()? } });
        serde_json::value::to_raw_value(&result).map_err(|error| ToolError::new(error.to_string()))
    })
}

/// What a process has that opens two doors to one edge. No door of ours does: this is the one that could mix them up.
fn services(config: &Config) -> Services {
    let clock = Clock::system();
    let metrics = Metrics::off(clock);
    let sdk = Arc::new(Sdk::new(&config.aws));
    let load = secret_loader(&sdk);
    let broker = RoleBroker::new(
        Arc::clone(&sdk),
        &config.roles,
        &load,
        clock,
        metrics.clone(),
    );
    let choices = Arc::new(RoleChoices::new(&config.roles, true, clock));
    let egress = Arc::new(Egress::new(&config.server.egress, []));
    let authenticator = Authenticator::new(
        &config.auth,
        &config.server,
        &config.roles,
        choices,
        &egress,
        clock,
        &load,
    );
    let edge = Edge::new(
        Registry::new(vec![seen()]).unwrap(),
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(5),
        metrics.clone(),
    );
    Services {
        authenticator: Some(Arc::new(authenticator)),
        edge: Arc::new(edge),
        aws: Arc::new(Aws::new(sdk, broker)),
        server: config.server.clone(),
        authorization_servers: Vec::new(),
        required_scopes: Vec::new(),
        scopes_supported: Vec::new(),
        metrics,
        clock,
    }
}

#[test]
fn at_one_edge_the_process_s_authority_is_for_stdio_alone() {
    limited(async {
        let secret = "the secret of the one issuer of this test";
        let document = json!({
            "auth": { "issuers": [{ "issuer": "quilt-frontend", "audience": "quilt-mcp-server", "hs256": secret }] },
            "roles": { "allow": ["arn:aws:iam::111111111111:role/*"] },
        });
        let config = Config::parse(&document.to_string(), &|_| None).unwrap();
        let services = Arc::new(services(&config));
        let hosts = HostPolicy::loopback(&services.server);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = door::router(Arc::clone(&services), Transport::Http, hosts);
        let work = Duration::from_secs(5);
        tokio::spawn(door::serve_tcp(
            listener,
            router,
            work,
            std::future::pending(),
        ));
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = tokio::io::split(theirs);
        let edge = Arc::clone(&services.edge);
        tokio::spawn(door::serve_stdio(
            edge,
            BufReader::new(input),
            output,
            1 << 16,
        ));
        let (lines, mut local) = tokio::io::split(ours);
        let mut lines = BufReader::new(lines).lines();

        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = |id: usize| request(id, "tools/call", json!({ "name": "seen" }));
        let over_http = (0..100).map(|id| {
            let role = format!("arn:aws:iam::111111111111:role/Caller{id}");
            let subject = format!("caller-{id}");
            // Some have no role: they get nobody's, and not the process's.
            let (token, authority) = match id % 3 {
                0 => (claims(&subject), "NoRole".to_owned()),
                _ => (claims(&subject).with("role_arn", role.as_str()), role),
            };
            let sent = client
                .post(&url)
                .bearer_auth(token.sign(secret))
                .json(&call(id));
            async move {
                let answer: Value = sent.send().await.unwrap().json().await.unwrap();
                let own = json!({ "subject": subject, "authority": authority });
                let due = json!({ "before": own, "after": own });
                assert_eq!(answer["result"]["structuredContent"], due);
            }
        });
        let over_stdio = async {
            for id in 0..100 {
                let line = format!("{}\n", call(id));
                local.write_all(line.as_bytes()).await.unwrap();
            }
            for _ in 0..100 {
                let line = lines.next_line().await.unwrap().unwrap();
                let answer: Value = serde_json::from_str(&line).unwrap();
                let own = json!({ "subject": null, "authority": "process" });
                let due = json!({ "before": own, "after": own });
                assert_eq!(answer["result"]["structuredContent"], due);
            }
        };
        // Without a token there is no call, whoever else may call here.
        let anonymous = async {
            for id in 0..20 {
                let answer = client.post(&url).json(&call(id)).send().await.unwrap();
                assert_eq!(answer.status(), 401);
            }
        };
        tokio::join!(join_all(over_http), over_stdio, anonymous);
    });
}
