//! One moto for all tests, seeded by `scripts/dev_cloud.py`, and clients to change it with.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use serde::Deserialize;

/// What there is to see and to use.
#[derive(Debug, Deserialize)]
pub struct World {
    /// moto's URL.
    pub endpoint: String,
    pub region: String,
    /// The ARN of the JWT secret.
    pub jwt_secret: String,
    pub people: Vec<Person>,
    /// The access key of the user that Rolecall runs as, as the variables that the SDK reads.
    pub credentials: BTreeMap<String, String>,
    /// What the secret holds.
    #[serde(skip)]
    pub secret: String,
}

/// Somebody with an account, roles in it, and a bucket.
#[derive(Debug, Deserialize)]
pub struct Person {
    pub name: String,
    pub account: String,
    pub roles: Vec<String>,
    pub bucket: String,
    pub keys: Vec<String>,
}

impl World {
    #[track_caller]
    pub fn person(&self, name: &str) -> &Person {
        self.people
            .iter()
            .find(|person| person.name == name)
            .expect("a person of the seeded world")
    }

    /// The variables with which an AWS SDK talks to `endpoint` and to nothing else.
    pub fn environment(&self, endpoint: &str) -> Vec<(String, String)> {
        let place = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", self.region.as_str()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        place.into_iter().chain(self.credentials.clone()).collect()
    }

    /// Those of the user that Rolecall runs as.
    fn own_credentials(&self) -> Credentials {
        let of = |name: &str| self.credentials[name].as_str();
        let (key, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
        Credentials::new(key, secret, None, None, "test")
    }

    /// A client of moto's Secrets Manager, as the server's own account.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .credentials_provider(self.own_credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        aws_sdk_secretsmanager::Client::from_conf(config)
    }

    /// Temporary credentials of a role, as a Quilt registry gives them.
    pub async fn role_credentials(&self, role: &str) -> serde_json::Value {
        self.role_credentials_for(role, "registry").await
    }

    /// The same, in a session of this name.
    pub async fn role_credentials_for(&self, role: &str, session: &str) -> serde_json::Value {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            .credentials_provider(self.own_credentials())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let request = aws_sdk_sts::Client::from_conf(config)
            .assume_role()
            .role_arn(role)
            .role_session_name(session)
            .source_identity(session);
        let given = request.send().await.unwrap().credentials.unwrap();
        let end = given
            .expiration
            .fmt(aws_sdk_sts::primitives::DateTimeFormat::DateTime)
            .unwrap();
        serde_json::json!({
            "AccessKeyId": given.access_key_id,
            "SecretAccessKey": given.secret_access_key,
            "SessionToken": given.session_token,
            "Expiration": end,
        })
    }

    /// A new secret; gives its ARN.
    pub async fn create_secret(&self, name: &str, value: &str) -> String {
        let made = self
            .secrets()
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
        made.arn.unwrap()
    }

    /// A setting whose value is in a new secret, of a name of its own.
    pub async fn stored(&self, value: &str) -> serde_json::Value {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let arn = self.create_secret(&format!("stored/{number}"), value).await;
        serde_json::json!({ "$secret": arn })
    }
}

/// The project's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the test environment. Missing means that `make test` was not used, which fails loudly.
#[track_caller]
pub fn tool(path: &str) -> PathBuf {
    let tool = root().join(path);
    assert!(
        Path::new(&tool).exists(),
        "{path} is missing: run the tests with `make test`, which installs it"
    );
    tool
}

/// The one AWS of this test run. It ends with the process, which holds its standard input.
pub fn world() -> &'static World {
    static WORLD: OnceLock<(World, ChildStdin)> = OnceLock::new();
    let (world, _) = WORLD.get_or_init(|| {
        let mut moto = Command::new(tool(".venv/bin/python"))
            .arg(root().join("scripts/dev_cloud.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(moto.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut world: World =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let held = moto.stdin.take().unwrap();
        let arn = world.jwt_secret.clone();
        let secrets = world.secrets();
        let read = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                secrets
                    .get_secret_value()
                    .secret_id(arn)
                    .send()
                    .await
                    .unwrap()
            })
        });
        world.secret = read.join().unwrap().secret_string.unwrap();
        (world, held)
    });
    world
}
