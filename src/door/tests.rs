//! The layers around a route that fails as none of ours does.

use axum::{
    body::Body,
    http::{Request, header},
};
use tower::ServiceExt;

use super::*;
use crate::{
    aws::{RoleBroker, Sdk},
    config::{Config, Process},
    mcp::{Registry, ToolScopes},
};

const PAGE: &str = "https://app.example.com";

fn shared() -> Shared {
    let text = format!(r#"{{"server":{{"allowedOrigins":["{PAGE}"]}}}}"#);
    let config = Config::parse(&text, &|_| None).unwrap();
    let clock = Clock::system();
    let metrics = Metrics::new(&config.telemetry, &Process::default(), clock);
    let sdk = Arc::new(Sdk::new(&config.aws));
    let load: crate::auth::LoadSecret = Arc::new(|_| Box::pin(std::future::pending()));
    let broker = RoleBroker::new(
        Arc::clone(&sdk),
        &config.roles,
        &load,
        clock,
        metrics.clone(),
    );
    let edge = Edge::new(
        Registry::new(Vec::new()).unwrap(),
        Arc::default(),
        ToolScopes::default(),
        Duration::from_secs(5),
        metrics.clone(),
    );
    let services = Services {
        authenticator: None,
        edge: Arc::new(edge),
        aws: Arc::new(Aws::new(sdk, broker)),
        server: config.server,
        authorization_servers: Vec::new(),
        required_scopes: Vec::new(),
        scopes_supported: Vec::new(),
        metrics,
        clock,
    };
    let hosts = HostPolicy::loopback(&services.server);
    Shared {
        origins: Arc::new(OriginPolicy::new(&services.server, &hosts)),
        services: Arc::new(services),
        transport: Transport::Http,
        hosts: Arc::new(hosts),
    }
}

#[tokio::test]
async fn a_preflight_is_answered_with_a_short_list_of_names_or_with_none() {
    async fn names(asked: &[u8]) -> Option<String> {
        let router = layered(Router::new(), shared());
        let request = Request::options("/mcp")
            .header(header::HOST, "localhost")
            .header(header::ORIGIN, PAGE)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, asked)
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
        let names = headers.get(header::ACCESS_CONTROL_ALLOW_HEADERS)?;
        Some(names.to_str().unwrap().to_owned())
    }
    let longest = "mcp-param-x,".repeat(171)[..2_048].to_owned();
    for good in [
        "authorization,content-type",
        "A, b\t,, !#$%&'*+-.^_`|~0",
        &longest,
    ] {
        assert_eq!(names(good.as_bytes()).await.as_deref(), Some(good));
    }
    let long = format!("{longest}x");
    let bad: [&[u8]; 6] = [
        b"a b",
        b"a;b",
        b"<a>",
        b"\"a\"",
        b"\xc3\xa9",
        long.as_bytes(),
    ];
    for bad in bad {
        assert_eq!(names(bad).await, None, "{}", String::from_utf8_lossy(bad));
    }
}

#[tokio::test]
async fn a_page_can_read_that_we_failed() {
    async fn defect() -> &'static str {
        panic!("a defect of ours")
    }
    let router = layered(Router::new().route("/mcp", routing::any(defect)), shared());
    let request = Request::post("/mcp")
        .header(header::HOST, "localhost")
        .header(header::ORIGIN, PAGE)
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        PAGE
    );
}
