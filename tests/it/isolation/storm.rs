//! The storm: 200 callers of every kind of issuer, in rounds, on connections that they share. Between their calls come
//! tokens that are no good, calls that are given up in the middle, and a secret that is rotated. Each answer, and each
//! line of the log, must be its caller's own.
//!
//! `make storm` runs more rounds than a usual run of the tests.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rolecall::clock::rfc3339;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::support::{
    Issuer, Request, Setup, claims,
    fault::{Fault, Faults},
    issuer::CLIENT,
    limited_to,
    server::{Answer, Server},
    token::{Claims, now},
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

/// Which issuer vouches for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A secret that stays as it is.
    Shared,
    /// Published keys.
    Published,
    /// It is asked, and knows the claims.
    Introspected,
    /// It is asked, and gives credentials.
    Registry,
    /// A secret that is rotated after the server has read it.
    Rotating,
    /// The same secret, which the server first reads after the rotation.
    Rotated,
}

const KINDS: [Kind; 6] = [
    Kind::Shared,
    Kind::Published,
    Kind::Introspected,
    Kind::Registry,
    Kind::Rotating,
    Kind::Rotated,
];

/// A caller: one login of one subject.
struct Login {
    number: usize,
    kind: Kind,
    issuer: String,
    subject: String,
    /// Whose account and roles it has.
    person: usize,
    /// What its tokens list, their own first. The last is for callers of its name alone.
    roles: Vec<String>,
    /// The login's name, for those of one subject that must be told apart.
    session: Option<&'static str>,
    /// The token of those whose issuer is asked.
    standing: String,
}

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

impl Kind {
    /// Whether the token is one that we verify.
    fn is_signed(self) -> bool {
        !matches!(self, Self::Introspected | Self::Registry)
    }
}

impl Login {
    /// When the token of a round ends: no two tokens of the storm end at once, so that the end tells them apart.
    fn end(&self, began: u64, round: usize) -> u64 {
        let variant = if self.kind.is_signed() { round % 3 } else { 0 };
        began + 1_500 + u64::try_from(self.number + CALLERS * variant).unwrap()
    }

    fn claims(&self, end: u64) -> Claims {
        let token = claims(&self.subject).with("exp", end).roles(&self.roles);
        let token = match self.kind {
            Kind::Shared => token,
            _ => token
                .with("iss", self.issuer.as_str())
                .with("aud", AUDIENCE),
        };
        match self.session {
            Some(name) => token.with("sid", name),
            None => token,
        }
    }

    /// The role that is asked for with a round's calls.
    fn header(&self, round: usize) -> Option<&str> {
        let asks = self.kind != Kind::Registry && self.session.is_none() && round % 2 == 1;
        asks.then(|| self.roles.last().unwrap().as_str())
    }

    /// The role that a round's calls act as.
    fn role(&self, round: usize) -> Option<&str> {
        match (self.kind, self.session) {
            (Kind::Registry, _) => None,
            (_, Some("two")) => Some(&self.roles[1]),
            _ => Some(self.header(round).unwrap_or(&self.roles[0])),
        }
    }

    /// What `whoami` must answer.
    fn whoami(&self, began: u64, round: usize) -> Value {
        let (environment, scheme) = match self.kind.is_signed() {
            true => ("web-jwt", "jwt"),
            false => ("web-bearer", "bearer"),
        };
        json!({ "subject": self.subject, "issuer": self.issuer, "environment": environment, "scheme": scheme,
                "role": self.role(round), "expires_at": rfc3339(self.end(began, round)) })
    }
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
        let id = answer.header("x-request-id").unwrap().to_owned();
        let subject = subject.map(str::to_owned);
        self.tally.requests.lock().unwrap().insert(id, subject);
        if answer.status >= 500 {
            self.tally.server_errors.fetch_add(1, Ordering::Relaxed);
        }
        if answer.status != due {
            let (status, text) = (answer.status, &answer.text);
            self.wrong(format!("{status} instead of {due}: {text}"));
        }
        answer.status == due
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

    /// Who am I: asked in the way of the older clients, of the newer ones, or twice in a batch.
    async fn ask_who(&self, login: &Login, round: usize, turn: usize) {
        let none = json!({});
        let request = match (login.number + round) % 3 {
            0 => Request::legacy("whoami", &none),
            1 => Request::modern("whoami", &none),
            _ => batch(["whoami", "get_current_quilt_role", "whoami"]),
        };
        let Some(answer) = self.call(login, round, turn, request).await else {
            return;
        };
        let due = login.whoami(self.began, round);
        let answers = match answer.json() {
            Value::Array(answers) => answers,
            one => vec![one],
        };
        for answer in &answers {
            let said = &answer["result"]["structuredContent"];
            if answer["id"] == 1 && answers.len() == 3 {
                self.expect(login, "role", &said["role"], &due["role"]);
            } else {
                self.expect(login, "whoami", said, &due);
            }
        }
    }

    /// Whose account is it: by STS's word, by the list of buckets, or by a bucket's keys.
    async fn ask_aws(&self, login: &Login, round: usize, turn: usize) {
        let person = &world().people[login.person];
        let (tool, arguments) = match (login.number / 5 + round) % 3 {
            0 => ("auth_status", json!({})),
            1 => ("bucket_list", json!({})),
            _ => ("bucket_objects_list", json!({ "bucket": person.bucket })),
        };
        let request = Request::legacy(tool, &arguments);
        let permit = self.in_aws.acquire().await.unwrap();
        let Some(answer) = self.call(login, round, turn, request).await else {
            return;
        };
        drop(permit);
        if answer.json()["result"]["isError"] == true {
            let text = answer.tool_error();
            if text.contains("AWS is busy") {
                self.tally.busy.fetch_add(1, Ordering::Relaxed);
            } else {
                self.wrong(format!("{tool}: {text}"));
            }
            return;
        }
        let content = answer.content();
        match tool {
            "auth_status" => {
                let due = login.whoami(self.began, round);
                self.expect(login, "caller", &content["caller"], &due);
                let aws = &content["aws"];
                self.expect(login, "account", &aws["account"], &json!(person.account));
                let role = login.role(round).unwrap_or(&login.roles[0]);
                let role = role.rsplit('/').next().unwrap();
                let (account, session) = (&person.account, login.session_name());
                let due = format!("arn:aws:sts::{account}:assumed-role/{role}/{session}");
                let arn = aws["arn"].as_str().unwrap();
                // After the name comes the second of its assumption.
                let own = arn.strip_prefix(&due).is_some_and(|rest| {
                    rest.is_empty() || (rest.starts_with('-') && !rest[1..].contains('-'))
                });
                if !own {
                    self.leak(format!("{arn} instead of {due}"));
                }
            }
            "bucket_list" => {
                let text = content.to_string();
                for other in &world().people {
                    if text.contains(&other.bucket) != (other.name == person.name) {
                        self.leak(format!("the buckets of {}: {text}", person.name));
                    }
                }
            }
            _ => {
                let objects = content["objects"].as_array().unwrap();
                let keys: Vec<&Value> = objects.iter().map(|object| &object["key"]).collect();
                self.expect(login, "keys", &json!(keys), &json!(person.keys));
            }
        }
        self.tally.proofs.fetch_add(1, Ordering::Relaxed);
        if let Some(role) = login.role(round) {
            let (issuer, subject) = (login.issuer.clone(), login.subject.clone());
            let key = (issuer, subject, login.roles.join(","), role.to_owned());
            self.tally.proven.lock().unwrap().insert(key);
        }
    }

    /// What is no good, on the same connection: nobody's identity is left on it.
    async fn interlope(&self, login: &Login, round: usize, turn: usize) {
        let secret = &world().secret;
        let whoami = Request::legacy("whoami", &json!({}));
        let good = claims(&login.subject).roles(&login.roles);
        let other = &self.logins[(login.number + 5 * KINDS.len()) % CALLERS];
        let (due, request) = match (login.number + round) % 8 {
            0 => (401, whoami),
            1 => {
                let ended = good.with("exp", self.began - 100);
                (401, whoami.bearer(&ended.sign(secret)))
            }
            2 => (
                401,
                whoami.bearer(&good.sign("another secret, as long as it must be")),
            ),
            // One issuer's key under another's name.
            3 => {
                let foreign = good.with("iss", self.published.url.as_str());
                (
                    401,
                    whoami.bearer(&foreign.with("aud", AUDIENCE).sign(secret)),
                )
            }
            4 => (401, whoami.bearer(&self.published.sign(&good))),
            5 => (401, whoami.bearer(&format!("nobody-{}", login.number))),
            // A role of somebody else.
            6 => {
                let role = other.roles.last().unwrap();
                let greedy = whoami.bearer(&good.sign(secret));
                (403, greedy.header("X-Quilt-User-Role", role))
            }
            _ => {
                let role = login.roles.last().unwrap();
                (401, whoami.header("X-Quilt-User-Role", role))
            }
        };
        if let Some(answer) = self.send(turn, &request).await {
            self.note(&answer, None, due);
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call that its caller gives up while AWS works on it: its connection, or its stream, is dropped.
    async fn abandon(&self, login: &Login, round: usize, turn: usize) {
        let prefix = format!("{ABANDONED}-{}-{round}-", login.number);
        let bucket = &world().people[login.person].bucket;
        let arguments = json!({ "bucket": bucket, "prefix": prefix });
        let request = Request::legacy("bucket_objects_list", &arguments);
        let permit = self.in_aws.acquire().await.unwrap();
        let mark = self.faults.mark();
        tokio::select! {
            // Not if AWS had no time for the role.
            _ = self.call(login, round, turn, request) => {}
            () = self.faults.until_seen(&prefix, mark) => {
                self.tally.abandoned.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(permit);
    }

    /// A login of two of one subject asks for its second role, for itself.
    async fn choose(&self, login: &Login) {
        let choice = json!({ "role_arn": login.roles[1] });
        loop {
            let request = Request::legacy("assume_quilt_user_role", &choice);
            let permit = self.in_aws.acquire().await.unwrap();
            let answer = self.call(login, 0, login.number, request).await.unwrap();
            drop(permit);
            let result = &answer.json()["result"];
            if result["structuredContent"]["kept"] == true {
                return;
            }
            assert!(answer.tool_error().contains("AWS is busy"), "{result}");
        }
    }

    /// Waits until the server takes tokens of the new secret from the issuer whose old one it held: when the cool-down
    /// is over, the next of them makes it read the secret anew.
    async fn until_the_new_secret_is_known(&self) {
        let mut logins = self.logins.iter();
        let login = logins.find(|login| login.kind == Kind::Rotating).unwrap();
        let token = self.token(login, 0, true);
        let request = Request::legacy("whoami", &json!({})).bearer(&token);
        let mut pace = tokio::time::interval(Duration::from_secs(1));
        loop {
            pace.tick().await;
            let answer = self.send(0, &request).await.unwrap();
            let subject = (answer.status == 200).then_some(login.subject.as_str());
            self.note(&answer, subject, if subject.is_some() { 200 } else { 401 });
            if subject.is_some() {
                return;
            }
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

impl Login {
    fn new(number: usize, kind: Kind, issuer: &str) -> Self {
        let of_kind = number / KINDS.len();
        let paired = of_kind % 4 >= 2 && matches!(kind, Kind::Shared | Kind::Published);
        let people = &world().people;
        // Callers of one name differ in their accounts, from issuer to issuer. Who chooses has two roles.
        let person = if paired { 0 } else { (number + of_kind) % 2 };
        let (subject, session) = if paired {
            let session = ["one", "two"][of_kind % 2];
            (format!("pair-{}", of_kind / 4), Some(session))
        } else {
            (format!("caller-{of_kind}"), None)
        };
        let mut roles = people[person].roles.clone();
        let account = &people[person].account;
        roles.push(format!("arn:aws:iam::{account}:role/storm/{subject}"));
        Self {
            number,
            kind,
            issuer: issuer.to_owned(),
            subject,
            person,
            roles,
            session,
            standing: String::new(),
        }
    }

    /// What the name of its session in AWS begins with.
    fn session_name(&self) -> String {
        match self.kind {
            Kind::Registry => format!("registry-{}", self.number),
            _ => format!("mcp-{}", self.subject),
        }
    }
}

fn batch(tools: [&str; 3]) -> Request {
    let call = |(id, tool)| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool } });
    let calls: Vec<Value> = tools.into_iter().enumerate().map(call).collect();
    Request::post(json!(calls).to_string()).header("MCP-Protocol-Version", "2025-03-26")
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
