//! The storm: 200 callers of every kind of issuer, in rounds, on connections that they share. Between their calls come
//! tokens that are no good, calls that are given up in the middle, and a secret that is rotated. Each answer, and each
//! line of the log, must be its caller's own.
//!
//! `make storm` runs more rounds than a usual run of the tests.

mod calls;
mod login;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use login::{KINDS, Kind, Login};

use crate::support::{
    Issuer, Request, Setup, claims,
    fault::{Fault, Faults},
    issuer::CLIENT,
    limited_to,
    server::{Answer, Server},
    token::now,
    world,
};

/// Callers at once.
const CALLERS: usize = 200;
/// Rounds of calls, unless the variable `STORM_ROUNDS` says otherwise.
const ROUNDS: usize = 5;
/// Connections that carry one request at a time, each from another caller than the one before.
const LANES: usize = 12;
/// Connections that carry many at a time.
const SHARED_LANES: usize = 4;
/// Calls that reach AWS at once: as many as moto answers in time.
const IN_AWS: usize = 6;
/// The audience of the issuers that are not the seeded world's.
const AUDIENCE: &str = "https://mcp.example.com/mcp";
const OLD: &str = "the secret that is rotated, as it was before";
const NEW: &str = "the secret that is rotated, as it is after";
/// The prefix of a listing that S3 never answers.
const ABANDONED: &str = "abandoned-in-the-storm";

/// All that is shared by the callers.
struct Storm {
    server: Server,
    faults: Faults,
    published: Issuer,
    logins: Vec<Login>,
    lanes: Vec<tokio::sync::Mutex<reqwest::Client>>,
    shared: Vec<reqwest::Client>,
    in_aws: Semaphore,
    began: u64,
    rotated: watch::Sender<bool>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    calls: watch::Sender<usize>,
    /// Calls that showed whose credentials they had.
    proofs: AtomicUsize,
    /// Calls for which AWS had no time.
    busy: AtomicUsize,
    abandoned: AtomicUsize,
    refused: AtomicUsize,
    /// Tokens of the new secret that came within the cool-down of the old one.
    too_new: AtomicUsize,
    server_errors: AtomicUsize,
    /// Answers that are not their caller's own.
    leaks: Mutex<Vec<String>>,
    /// Other answers that nobody should get.
    wrong: Mutex<Vec<String>>,
    /// Who sent the request of an id: the subject, or nobody.
    requests: Mutex<HashMap<String, Option<String>>>,
    /// Whose credentials were proven: (issuer, subject, login's roles, role).
    proven: Mutex<HashSet<(String, String, String, String)>>,
}

impl Storm {
    async fn brew() -> Arc<Self> {
        let (published, asked, registry) = (
            Issuer::start().await,
            Issuer::start().await,
            Issuer::start().await,
        );
        let world = world();
        let arn = world.create_secret("storm/jwt", OLD).await;
        let faults = Faults::start().await;
        faults.inject(ABANDONED, Fault::Hang, u32::MAX);
        let rotating = |name: &str| json!({ "issuer": name, "audience": AUDIENCE, "hs256": { "$secret": arn } });
        let introspection = json!({ "url": format!("{}/introspect", asked.url), "clientId": CLIENT.0, "clientSecret": CLIENT.1 });
        let further = [
            json!({ "issuer": published.url, "audience": AUDIENCE, "jwks": "discover" }),
            json!({ "issuer": asked.url, "audience": AUDIENCE, "introspection": introspection, "opaque": false }),
            json!({ "issuer": "registry", "registry": registry.url }),
            rotating("rotating"),
            rotating("rotated"),
        ];
        let mut setup = Setup::new().endpoint(&faults.endpoint());
        for (index, issuer) in further.into_iter().enumerate() {
            setup = setup.with(&format!("/auth/issuers/{}", index + 1), issuer);
        }
        let began = now();
        let mut logins = Vec::new();
        for number in 0..CALLERS {
            let kind = KINDS[number % KINDS.len()];
            let issuer = match kind {
                Kind::Shared => "quilt-frontend",
                Kind::Published => &published.url,
                Kind::Introspected => &asked.url,
                Kind::Registry => "registry",
                Kind::Rotating => "rotating",
                Kind::Rotated => "rotated",
            };
            let mut login = Login::new(number, kind, issuer);
            let end = login.end(began, 0);
            match kind {
                Kind::Introspected => {
                    let claims = login.claims(end);
                    login.standing = asked.sign(&claims);
                    let mut answer = claims.payload;
                    answer["active"] = json!(true);
                    asked.activate(&login.standing, answer);
                }
                Kind::Registry => {
                    let mut catalog = claims(&login.subject);
                    catalog.payload =
                        json!({ "id": login.subject, "uuid": number.to_string(), "exp": end });
                    login.standing = catalog.sign("a secret that nobody but the registry knows");
                    let session = login.session_name();
                    let given = world.role_credentials_for(&login.roles[0], &session).await;
                    registry.give(&login.standing, Some(given));
                }
                _ => {}
            }
            logins.push(login);
        }
        let client = || {
            reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(30))
        };
        let lane = |_| tokio::sync::Mutex::new(client().pool_max_idle_per_host(1).build().unwrap());
        let shared = |_| client().http2_prior_knowledge().build().unwrap();
        Arc::new(Self {
            server: setup.start(),
            faults,
            published,
            logins,
            lanes: (0..LANES).map(lane).collect(),
            shared: (0..SHARED_LANES).map(shared).collect(),
            in_aws: Semaphore::new(IN_AWS),
            began,
            rotated: watch::channel(false).0,
            tally: Tally::default(),
        })
    }

    /// Whether a round's token is of the new secret. Who holds an old one keeps it.
    fn is_new(&self, login: &Login, round: usize) -> bool {
        let rotates = matches!(login.kind, Kind::Rotating | Kind::Rotated);
        rotates && round % 2 == 1 && *self.rotated.borrow()
    }

    /// The token of a round.
    fn token(&self, login: &Login, round: usize, is_new: bool) -> String {
        let token = || login.claims(login.end(self.began, round));
        match login.kind {
            Kind::Shared => token().sign(&world().secret),
            Kind::Published => self.published.sign(&token()),
            Kind::Introspected | Kind::Registry => login.standing.clone(),
            Kind::Rotating | Kind::Rotated => token().sign(if is_new { NEW } else { OLD }),
        }
    }

    /// Sends a request on the connection whose turn it is.
    async fn send(&self, turn: usize, request: &Request) -> Option<Answer> {
        let lane = turn % (LANES + SHARED_LANES);
        let answer = if let Some(lane) = self.lanes.get(lane) {
            self.send_with(&*lane.lock().await, request).await
        } else {
            self.send_with(&self.shared[lane - LANES], request).await
        };
        self.tally.calls.send_modify(|calls| *calls += 1);
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.wrong(format!("no answer: {error:?}"));
                None
            }
        }
    }

    async fn send_with(
        &self,
        client: &reqwest::Client,
        request: &Request,
    ) -> reqwest::Result<Answer> {
        let mut sent = client.post(self.server.url("/mcp"));
        for (name, value) in &request.headers {
            // What a front door adds is not for this one, and its host has another name.
            if !name.starts_with("X-Forwarded") && name != "Host" {
                sent = sent.header(name, value);
            }
        }
        let response = sent.body(request.body.clone().unwrap()).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer {
            status,
            headers,
            text,
        })
    }

    fn wrong(&self, what: String) {
        self.tally.wrong.lock().unwrap().push(what);
    }

    fn leak(&self, what: String) {
        self.tally.leaks.lock().unwrap().push(what);
    }

    /// Notes whose request it was that was answered so, and whether the status is the one that is due.
    fn note(&self, answer: &Answer, subject: Option<&str>, due: u16) -> bool {
        if answer.status >= 500 {
            self.tally.server_errors.fetch_add(1, Ordering::Relaxed);
        }
        if answer.status != due {
            let (status, text) = (answer.status, &answer.text);
            self.wrong(format!("{status} instead of {due}: {text}"));
            return false;
        }
        let id = answer.header("x-request-id").unwrap().to_owned();
        let subject = subject.map(str::to_owned);
        self.tally.requests.lock().unwrap().insert(id, subject);
        true
    }

    /// Sends a call of a login's own, with its token of the round.
    async fn call(
        &self,
        login: &Login,
        round: usize,
        turn: usize,
        request: Request,
    ) -> Option<Answer> {
        let is_new = self.is_new(login, round);
        let token = self.token(login, round, is_new);
        let mut request = request.bearer(&token);
        if let Some(role) = login.header(round) {
            request = request.header("X-Quilt-User-Role", role);
        }
        let answer = self.send(turn, &request).await?;
        // A server that has just read the old secret does not ask for a newer one yet.
        if login.kind == Kind::Rotating && is_new && answer.status == 401 {
            self.tally.too_new.fetch_add(1, Ordering::Relaxed);
            self.note(&answer, None, 401);
            return None;
        }
        self.note(&answer, Some(&login.subject), 200)
            .then_some(answer)
    }

    /// Compares what an answer says with what it must say.
    fn expect(&self, login: &Login, what: &str, said: &Value, due: &Value) {
        if said != due {
            let (subject, kind) = (&login.subject, login.kind);
            self.leak(format!(
                "{what} of {subject} ({kind:?}): {said} instead of {due}"
            ));
        }
    }

    async fn caller(&self, number: usize, rounds: usize) {
        let login = &self.logins[number];
        if login.kind == Kind::Rotated {
            let mut rotated = self.rotated.subscribe();
            rotated.wait_for(|rotated| *rotated).await.unwrap();
        }
        if login.session == Some("two") {
            self.choose(login).await;
        }
        for round in 0..rounds {
            let turn = number * 7 + round;
            self.interlope(login, round, turn).await;
            self.ask_who(login, round, turn).await;
            // The role of a header's round is for show: AWS knows nothing of it.
            if (number + round) % 5 < 2 && login.header(round).is_none() {
                self.ask_aws(login, round, turn).await;
            }
            if (number + round) % 10 == 4 && login.header(round).is_none() {
                self.abandon(login, round, turn).await;
            }
        }
    }

    /// Rotates the secret when the storm is well under way.
    async fn rotate(&self) {
        let mut calls = self.tally.calls.subscribe();
        calls.wait_for(|calls| *calls > 2 * CALLERS).await.unwrap();
        let secrets = world().secrets();
        let put = secrets.put_secret_value().secret_id("storm/jwt");
        put.secret_string(NEW).send().await.unwrap();
        self.rotated.send_replace(true);
    }
}

fn rounds() -> usize {
    let asked = std::env::var("STORM_ROUNDS").ok();
    asked.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

#[test]
fn two_hundred_callers_of_every_kind_see_only_themselves_in_a_storm() {
    let rounds = rounds();
    let limit = Duration::from_secs(60) + Duration::from_secs(10) * u32::try_from(rounds).unwrap();
    limited_to(limit, async move {
        let storm = Storm::brew().await;
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let storm = Arc::clone(&storm);
            callers.spawn(async move { storm.caller(number, rounds).await });
        }
        storm.rotate().await;
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
        let seconds = began.elapsed().as_secs_f64();
        // Half a minute: not in a usual run.
        if rounds > ROUNDS {
            storm.until_the_new_secret_is_known().await;
        }
        let Ok(storm) = Arc::try_unwrap(storm) else {
            panic!("somebody still calls")
        };
        let Storm { server, tally, .. } = storm;
        let log = server.ended();
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let (leaks, wrong) = (
            tally.leaks.into_inner().unwrap(),
            tally.wrong.into_inner().unwrap(),
        );
        let (mut in_log, mut strangers) = (0, Vec::new());
        let requests = tally.requests.into_inner().unwrap();
        let lines = log.lines();
        for line in lines.iter().filter(|line| line["message"] == "request") {
            let id = line["request_id"].as_str().unwrap();
            let Some(subject) = requests.get(id) else {
                continue;
            };
            in_log += 1;
            if line["subject"].as_str() != subject.as_deref() {
                strangers.push(format!("{line} instead of {subject:?}"));
            }
        }
        let assumed = lines
            .iter()
            .filter(|line| line["message"] == "role assumed")
            .count();
        println!(
            "storm: {CALLERS} callers, {rounds} rounds, {} calls in {seconds:.1} s: {} leaks, {} answers 5xx; {} proven by AWS, {} \
             refused, {} abandoned, {} AWS was busy for, {} too new for a kept secret, {assumed} roles assumed",
            *tally.calls.borrow(),
            leaks.len() + strangers.len(),
            count(&tally.server_errors),
            count(&tally.proofs),
            count(&tally.refused),
            count(&tally.abandoned),
            count(&tally.busy),
            count(&tally.too_new),
        );
        let some = |list: &[String]| list.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), some(&leaks));
        assert!(strangers.is_empty(), "the log:\n{}", some(&strangers));
        assert_eq!(count(&tally.server_errors), 0, "{}", some(&wrong));
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), some(&wrong));
        assert_eq!(in_log, requests.len(), "each request has one line");
        // Two logins of other issuers, subjects or roles never share an assumption.
        let proven = tally.proven.into_inner().unwrap();
        assert!(!proven.is_empty() && count(&tally.abandoned) > 0);
        assert!(assumed >= proven.len(), "{assumed} for {}", proven.len());
    });
}
