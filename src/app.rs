//! Everything a process needs, built once.
//!
//! Owns the wiring: each room gets what it needs as arguments. In come the configuration and what the process was
//! started with; out goes an [`App`], which the command line hands to a door. Building it does no I/O.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

use crate::{
    auth::{Authenticator, LoadSecret, RoleChoices},
    aws::{Aws, RoleBroker, Sdk, load_secret},
    clock::Clock,
    config::{Config, HeaderMode, InvokeMode, IssuerSection, Lambda, Process, Reach},
    door::{self, HostPolicy, NoMoreEvents, Services, Transport},
    egress::Egress,
    mcp::{Edge, Registry, RegistryError, ToolScopes},
    telemetry::Metrics,
    tools::{self, Gate, Tool},
};

/// Whether callers must prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// By a token of a configured issuer.
    Required,
    /// They need not, and get no AWS credentials: `serve --no-auth`, and stdio, where the process's own are used.
    Off,
}

/// Every dependency of a process.
pub struct App {
    services: Arc<Services>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No issuer is configured, so nobody could call.
    #[error(
        "no issuer is configured: set auth.issuers (or, on this machine only, start with `serve --no-auth`)"
    )]
    NoIssuer,
    /// Where others can reach it, without a name.
    #[error(
        "to listen on {0}, where others can reach it, set server.publicUrl or server.allowedHosts to the names that clients use"
    )]
    NoHost(SocketAddr),
    /// Unauthenticated, but where others can reach it.
    #[error(
        "--no-auth serves loopback addresses only, and none inside a function: others can reach {0}"
    )]
    NotThisMachine(SocketAddr),
    /// The tools do not fit together.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A scope is asked for something that is no tool: another one may be open that was meant.
    #[error("auth.toolScopes.{0} names no tool: `rolecall tools` prints their names")]
    NoSuchTool(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
}

impl App {
    /// An app with our own tools.
    pub fn new(
        config: &Config,
        process: &Process,
        authentication: Authentication,
    ) -> Result<Self, StartError> {
        Self::with_tools(config, process, authentication, Vec::new())
    }

    /// An app with further tools beside our own.
    pub fn with_tools(
        config: &Config,
        process: &Process,
        authentication: Authentication,
        further: Vec<Tool>,
    ) -> Result<Self, StartError> {
        if authentication == Authentication::Required
            && config.auth.issuers.is_empty()
            && config.roles.header != HeaderMode::Iam
        {
            return Err(StartError::NoIssuer);
        }
        let clock = Clock::system();
        let metrics = Metrics::new(&config.telemetry, process, clock);
        let sdk = Arc::new(Sdk::new(&config.aws));
        let load = secret_loader(&sdk);
        let broker = RoleBroker::new(
            Arc::clone(&sdk),
            &config.roles,
            &load,
            clock,
            metrics.clone(),
        );
        let aws = Arc::new(Aws::new(sdk, broker));
        let egress = egress(config);
        // On Lambda, another instance may answer the next call.
        let choices = RoleChoices::new(&config.roles, process.lambda.is_none(), clock);
        let choices = Arc::new(choices);
        let authenticator = match authentication {
            Authentication::Required => Some(Arc::new(Authenticator::new(
                &config.auth,
                &config.server,
                &config.roles,
                Arc::clone(&choices),
                &egress,
                clock,
                &load,
            ))),
            Authentication::Off => None,
        };
        let gate = Arc::new(Gate::from_config(&config.quilt));
        let catalog = config.quilt.catalog.as_ref();
        let mut tools = tools::native(
            &aws,
            authenticator.as_ref(),
            &choices,
            &gate,
            &egress,
            catalog,
        );
        tools.extend(further);
        let timeout = Duration::from_secs(config.server.tool_timeout_seconds.get());
        let registry = Registry::new(tools)?;
        let scopes = ToolScopes::from_config(&config.auth);
        if let Some(pattern) = registry.unmatched(&scopes) {
            return Err(StartError::NoSuchTool(pattern.to_owned()));
        }
        let scopes_supported = scopes.all();
        let edge = Arc::new(Edge::new(registry, gate, scopes, timeout, metrics.clone()));
        let services = Services {
            authenticator,
            edge,
            aws,
            server: config.server.clone(),
            authorization_servers: config.auth.authorization_servers(),
            required_scopes: config
                .auth
                .required_scopes
                .iter()
                .map(ToString::to_string)
                .collect(),
            scopes_supported,
            metrics,
            clock,
        };
        Ok(Self {
            services: Arc::new(services),
        })
    }

    /// Listens on `address`, which `reach` says who can reach, and serves HTTP until `ended`. `listening` is told the
    /// address, whose port may be new.
    pub async fn serve(
        &self,
        address: SocketAddr,
        reach: Reach,
        listening: impl FnOnce(SocketAddr),
        ended: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        // Signed requests come through front doors only: nobody could call.
        let authenticator = self.services.authenticator.as_ref();
        if authenticator.is_some_and(|authenticator| !authenticator.takes_tokens()) {
            return Err(StartError::NoIssuer);
        }
        let server = &self.services.server;
        if self.services.authenticator.is_none() && reach == Reach::Others {
            return Err(StartError::NotThisMachine(address));
        }
        let hosts = match reach {
            Reach::ThisMachine => HostPolicy::loopback(server),
            Reach::Others => HostPolicy::configured(server).ok_or(StartError::NoHost(address))?,
        };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| StartError::Listen(address, error))?;
        listening(
            listener
                .local_addr()
                .map_err(|error| StartError::Listen(address, error))?,
        );
        let router = door::router(Arc::clone(&self.services), Transport::Http, hosts);
        let work = Duration::from_secs(server.tool_timeout_seconds.get());
        door::serve_tcp(listener, router, work, ended).await;
        Ok(())
    }

    /// Answers a function's events until it is told to `stop`, or there are no more.
    pub async fn serve_lambda(
        &self,
        mode: InvokeMode,
        function: &Lambda,
        stop: impl Future<Output = ()>,
    ) -> Result<(), NoMoreEvents> {
        let hosts = HostPolicy::front_door(&self.services.server);
        let transport = Transport::Lambda(mode);
        let router: Router = door::router(Arc::clone(&self.services), transport, hosts);
        let base = self
            .services
            .server
            .public_url
            .as_ref()
            .map(|url| url.path().to_owned())
            .unwrap_or_default();
        door::serve_lambda(router, base, self.services.clock, mode, function, stop).await
    }

    /// Serves standard input and output until the input ends.
    pub async fn serve_stdio(&self) -> std::io::Result<()> {
        let max_line =
            usize::try_from(self.services.server.max_body_bytes.get()).unwrap_or(usize::MAX);
        let input = tokio::io::BufReader::new(tokio::io::stdin());
        door::serve_stdio(
            Arc::clone(&self.services.edge),
            input,
            tokio::io::stdout(),
            max_line,
        )
        .await
    }
}

/// The definitions of our own tools, made from their types: one JSON object a line.
pub fn tool_definitions(config: &Config, process: &Process) -> String {
    let clock = Clock::system();
    let sdk = Arc::new(Sdk::new(&config.aws));
    let metrics = Metrics::new(&config.telemetry, process, clock);
    let broker = RoleBroker::new(
        Arc::clone(&sdk),
        &config.roles,
        &secret_loader(&sdk),
        clock,
        metrics,
    );
    let aws = Arc::new(Aws::new(sdk, broker));
    let gate = Arc::new(Gate::from_config(&config.quilt));
    let choices = Arc::new(RoleChoices::new(&config.roles, false, clock));
    let catalog = config.quilt.catalog.as_ref();
    let tools = tools::native(&aws, None, &choices, &gate, &egress(config), catalog);
    let definitions: Vec<_> = tools.iter().map(Tool::fresh_definition).collect();
    definitions.join("\n") + "\n"
}

/// The one dialer for what is not AWS. It may reach what the configuration names.
fn egress(config: &Config) -> Arc<Egress> {
    let issuers = config.auth.issuers.iter();
    let named = issuers
        .flat_map(IssuerSection::destinations)
        .chain(config.quilt.catalog.clone());
    Arc::new(Egress::new(&config.server.egress, named))
}

/// How the rooms that may not reach AWS read a stored secret.
pub fn secret_loader(sdk: &Arc<Sdk>) -> LoadSecret {
    let sdk = Arc::clone(sdk);
    Arc::new(move |stored| Box::pin(load_secret(Arc::clone(&sdk), stored)))
}
