//! What callers do in a storm: ask who they are, use their own AWS, give calls up; and what strangers try in between.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use super::{
    ABANDONED, AUDIENCE, CALLERS, Storm,
    login::{KINDS, Kind, Login},
};
use crate::support::{Request, claims, world};

impl Storm {
    /// Who am I: asked in the way of the older clients, of the newer ones, or twice in a batch.
    pub(super) async fn ask_who(&self, login: &Login, round: usize, turn: usize) {
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
    pub(super) async fn ask_aws(&self, login: &Login, round: usize, turn: usize) {
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
    pub(super) async fn interlope(&self, login: &Login, round: usize, turn: usize) {
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
    pub(super) async fn abandon(&self, login: &Login, round: usize, turn: usize) {
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
    pub(super) async fn choose(&self, login: &Login) {
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
    pub(super) async fn until_the_new_secret_is_known(&self) {
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
}

fn batch(tools: [&str; 3]) -> Request {
    let call = |(id, tool)| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": tool } });
    let calls: Vec<Value> = tools.into_iter().enumerate().map(call).collect();
    Request::post(json!(calls).to_string()).header("MCP-Protocol-Version", "2025-03-26")
}
