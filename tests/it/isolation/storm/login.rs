//! Who calls in the storm: logins of subjects that share their names, from issuers of every kind.

use rolecall::clock::rfc3339;
use serde_json::{Value, json};

use super::{AUDIENCE, CALLERS};
use crate::support::{claims, token::Claims, world};

/// Which issuer vouches for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
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

pub(super) const KINDS: [Kind; 6] = [
    Kind::Shared,
    Kind::Published,
    Kind::Introspected,
    Kind::Registry,
    Kind::Rotating,
    Kind::Rotated,
];

/// A caller: one login of one subject.
pub(super) struct Login {
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) issuer: String,
    pub(super) subject: String,
    /// Whose account and roles it has.
    pub(super) person: usize,
    /// What its tokens list, their own first. The last is for callers of its name alone.
    pub(super) roles: Vec<String>,
    /// The login's name, for those of one subject that must be told apart.
    pub(super) session: Option<&'static str>,
    /// The token of those whose issuer is asked.
    pub(super) standing: String,
}

impl Kind {
    /// Whether the token is one that we verify.
    pub(super) fn is_signed(self) -> bool {
        !matches!(self, Self::Introspected | Self::Registry)
    }
}

impl Login {
    pub(super) fn new(number: usize, kind: Kind, issuer: &str) -> Self {
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
    pub(super) fn session_name(&self) -> String {
        match self.kind {
            Kind::Registry => format!("registry-{}", self.number),
            _ => format!("mcp-{}", self.subject),
        }
    }

    /// When the token of a round ends: no two tokens of the storm end at once, so that the end tells them apart.
    pub(super) fn end(&self, began: u64, round: usize) -> u64 {
        let variant = if self.kind.is_signed() { round % 3 } else { 0 };
        began + 1_500 + u64::try_from(self.number + CALLERS * variant).unwrap()
    }

    pub(super) fn claims(&self, end: u64) -> Claims {
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
    pub(super) fn header(&self, round: usize) -> Option<&str> {
        let asks = self.kind != Kind::Registry && self.session.is_none() && round % 2 == 1;
        asks.then(|| self.roles.last().unwrap().as_str())
    }

    /// The role that a round's calls act as.
    pub(super) fn role(&self, round: usize) -> Option<&str> {
        match (self.kind, self.session) {
            (Kind::Registry, _) => None,
            (_, Some("two")) => Some(&self.roles[1]),
            _ => Some(self.header(round).unwrap_or(&self.roles[0])),
        }
    }

    /// What `whoami` must answer.
    pub(super) fn whoami(&self, began: u64, round: usize) -> Value {
        let (environment, scheme) = match self.kind.is_signed() {
            true => ("web-jwt", "jwt"),
            false => ("web-bearer", "bearer"),
        };
        json!({ "subject": self.subject, "issuer": self.issuer, "environment": environment, "scheme": scheme,
                "role": self.role(round), "expires_at": rfc3339(self.end(began, round)) })
    }
}
