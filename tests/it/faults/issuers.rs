//! Issuers in trouble: whoever publishes keys, or is asked about tokens.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    super::support::{
        Issuer, Setup, claims,
        fault::{Fault, Faults},
        issuer::CLIENT,
        limited,
        server::{Caller, Server},
        token::now,
        world,
    },
    BUDGET, PING, transport_faults,
};

const AUDIENCE: &str = "https://mcp.example.com/mcp";
const CALLERS: usize = 5;

/// What an issuer is asked for.
#[derive(Clone, Copy)]
enum Asked {
    Metadata,
    Keys,
    Credentials,
    Introspection,
}

impl Asked {
    /// How the request begins.
    fn request(self) -> &'static str {
        match self {
            Self::Metadata => "GET /.well-known/openid-configuration",
            Self::Keys => "GET /keys",
            Self::Credentials => "GET /api/auth/get_credentials",
            Self::Introspection => "POST /introspect",
        }
    }

    fn issuer(self, issuer: &Issuer) -> Value {
        match self {
            Self::Metadata | Self::Keys => {
                json!({ "issuer": issuer.url, "audience": AUDIENCE, "jwks": "discover" })
            }
            Self::Credentials => json!({ "issuer": issuer.url, "registry": issuer.url }),
            Self::Introspection => {
                let url = format!("{}/introspect", issuer.url);
                json!({ "issuer": issuer.url, "audience": AUDIENCE,
                        "introspection": { "url": url, "clientId": CLIENT.0, "clientSecret": CLIENT.1 } })
            }
        }
    }

    /// A good token, known to the issuer.
    async fn token(self, issuer: &Issuer) -> String {
        let token = issuer.sign(&issuer.claims("alice", AUDIENCE));
        match self {
            Self::Metadata | Self::Keys => {}
            Self::Credentials => {
                let role = &world().person("alice").roles[0];
                issuer.give(&token, Some(world().role_credentials(role).await));
            }
            Self::Introspection => {
                let said =
                    json!({ "active": true, "sub": "alice", "aud": AUDIENCE, "exp": now() + 600 });
                issuer.activate(&token, said);
            }
        }
        token
    }

    /// Every fault in turn, each at a server of its own that knows nothing yet.
    async fn suffers(self, slow: impl IntoIterator<Item = Fault>) {
        let throttled = Fault::Answer(429, "application/json", "{}".to_owned());
        let fast = transport_faults().into_iter().chain([throttled]);
        for (fault, is_slow) in fast
            .map(|fault| (fault, false))
            .chain(slow.into_iter().map(|fault| (fault, true)))
        {
            let (issuer, faults) = Issuer::behind_faults().await;
            let server = Setup::new()
                .with("/auth/issuers/0/hs256", world().secret.as_str())
                .with("/auth/issuers/1", self.issuer(&issuer))
                .start();
            let alice = server.with_token(self.token(&issuer).await);
            faults.inject(self.request(), fault.clone(), u32::MAX);
            self.refuses(&fault, is_slow, &faults, &server, &alice)
                .await;
            faults.heal();
            let recovered = alice.post(PING).await;
            assert_eq!(recovered.status, 200, "{fault:?}: {}", recovered.text);
        }
    }

    async fn refuses(
        self,
        fault: &Fault,
        is_slow: bool,
        faults: &Faults,
        server: &Server,
        alice: &Caller,
    ) {
        let bob = server.with_token(claims("bob").sign(&world().secret));
        let began = Instant::now();
        let held = join_all((0..CALLERS).map(|_| async {
            let refused = alice.post(PING).await;
            (refused, Instant::now())
        }));
        let others = async {
            for _ in 0..3 {
                assert_eq!(bob.post(PING).await.status, 200);
            }
            Instant::now()
        };
        let (held, others) = tokio::join!(held, others);
        for (refused, answered) in held {
            assert_eq!(refused.status, 503, "{fault:?}: {}", refused.text);
            assert_eq!(refused.header("retry-after"), Some("2"));
            assert!(!refused.text.contains("127.0.0.1"), "{}", refused.text);
            // She waits for seconds, however fast the machine is; his calls take no longer than ever.
            assert!(
                !is_slow || others < answered,
                "{fault:?}: bob waits for another issuer"
            );
        }
        assert!(began.elapsed() < BUDGET, "{fault:?}: {:?}", began.elapsed());
        let asked = faults.count(self.request());
        assert!((1..=CALLERS).contains(&asked), "{fault:?}: {asked}");
        if is_slow {
            // Nobody asks again while the first question is open.
            assert!(asked <= 3, "{fault:?}: {asked}");
        }
    }
}

#[test]
fn metadata_in_trouble_is_a_503_and_the_next_call_recovers() {
    limited(Asked::Metadata.suffers([Fault::Hang, Fault::Drip]));
}

#[test]
fn published_keys_in_trouble_are_a_503_and_the_next_call_recovers() {
    limited(Asked::Keys.suffers([Fault::Hang, Fault::Drip]));
}

#[test]
fn a_registry_in_trouble_is_a_503_and_the_next_call_recovers() {
    limited(Asked::Credentials.suffers([Fault::Hang, Fault::Drip]));
}

#[test]
fn introspection_in_trouble_is_a_503_and_the_next_call_recovers() {
    limited(Asked::Introspection.suffers([Fault::Hang, Fault::Drip]));
}

#[test]
fn connections_that_an_issuer_resets_before_anything_is_read() {
    limited(async {
        for asked in [Asked::Metadata, Asked::Credentials, Asked::Introspection] {
            let (issuer, faults) = Issuer::behind_faults().await;
            let server = Setup::new()
                .with("/auth/issuers", json!([asked.issuer(&issuer)]))
                .start();
            let alice = server.with_token(asked.token(&issuer).await);
            faults.refuse_connections(u32::MAX);
            let refused = alice.post(PING).await;
            assert_eq!(refused.status, 503, "{}", refused.text);
            faults.heal();
            assert_eq!(alice.post(PING).await.status, 200);
        }
    });
}

#[test]
fn a_question_that_hangs_holds_up_only_whose_token_it_is() {
    limited(async {
        for asked in [Asked::Credentials, Asked::Introspection] {
            let (issuer, faults) = Issuer::behind_faults().await;
            let server = Setup::new()
                .with("/auth/issuers", json!([asked.issuer(&issuer)]))
                .start();
            let (stuck, good) = (asked.token(&issuer).await, asked.token(&issuer).await);
            assert_ne!(stuck, good);
            faults.inject(stuck.as_str(), Fault::Hang, u32::MAX);
            let (stuck, good) = (server.with_token(stuck), server.with_token(good));
            let held = async { (stuck.post(PING).await.status, Instant::now()) };
            let others = async { (good.post(PING).await.status, Instant::now()) };
            let ((held, at), (others, before)) = tokio::join!(held, others);
            assert_eq!((held, others), (503, 200));
            assert!(before < at, "one token waits for another's");
        }
    });
}
