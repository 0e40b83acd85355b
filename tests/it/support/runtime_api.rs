//! AWS Lambda, as a function's process sees it: the Runtime API, with the real binary as the function.
//!
//! It keeps the Runtime API's rules: an event goes to one poll, an id is answered once, an answer is JSON of at most
//! 6 MB, and what comes after the deadline is nobody's.
//! Source: Lambda developer guide, "Using the Lambda runtime API for custom runtimes".

use std::{
    collections::HashMap,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{Response, StatusCode},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{Setup, server::Output, token::now_millis};

/// The largest answer that Lambda takes: Lambda quotas, "Invocation payload".
const MAX_RESPONSE: usize = 6 * 1_024 * 1_024;
/// How long a function runs, unless a test says otherwise.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of an event.
#[derive(Debug)]
pub enum Invocation {
    /// `POST …/response`.
    Response(Value),
    /// `POST …/error`, or an answer that Lambda does not take.
    Error(#[expect(dead_code, reason = "a failing test shows it")] Value),
    /// Nothing before the deadline.
    TimedOut,
}

/// An event on its way to the function.
struct Event {
    payload: Vec<u8>,
    deadline_ms: u64,
    invocation: oneshot::Sender<Invocation>,
}

/// The Runtime API's side.
struct Api {
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    running: Mutex<HashMap<String, oneshot::Sender<Invocation>>>,
    /// The most events that were ever out at once.
    most_running: AtomicUsize,
    /// How many events may be out at once.
    concurrency: usize,
    next_id: AtomicU64,
    polled: watch::Sender<bool>,
    init_errors: Mutex<Vec<String>>,
}

/// A running function: the real binary. It ends with this value.
pub struct Function {
    child: Option<Child>,
    process: u32,
    api: Arc<Api>,
    events: mpsc::UnboundedSender<Event>,
    pub output: Output,
}

impl Function {
    /// Starts the function as `rolecall lambda` and waits until it asks for its first event.
    pub async fn start(mut setup: Setup) -> Self {
        setup.arguments = vec!["lambda".to_owned()];
        Self::launch(setup, 1).await
    }

    /// Starts it without any argument, as Lambda does.
    pub async fn start_bare(mut setup: Setup) -> Self {
        setup.arguments.clear();
        Self::launch(setup, 1).await
    }

    /// Starts it the way that Lambda Managed Instances do: with several events at once.
    pub async fn start_concurrent(mut setup: Setup, concurrency: usize) -> Self {
        setup.arguments.clear();
        let variable = "AWS_LAMBDA_MAX_CONCURRENCY".to_owned();
        setup.environment.push((variable, concurrency.to_string()));
        Self::launch(setup, concurrency).await
    }

    async fn launch(mut setup: Setup, concurrency: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (events, waiting) = mpsc::unbounded_channel();
        let (polled, mut has_polled) = watch::channel(false);
        let api = Arc::new(Api {
            waiting: tokio::sync::Mutex::new(waiting),
            running: Mutex::default(),
            most_running: AtomicUsize::new(0),
            concurrency,
            next_id: AtomicU64::new(1),
            polled,
            init_errors: Mutex::default(),
        });
        serve(listener, router(Arc::clone(&api)));
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "rolecall-test"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ] {
            setup.environment.push((name.to_owned(), value.to_owned()));
        }
        let mut child = setup
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let function = Self {
            output: Output::collect(&mut child),
            process: child.id(),
            child: Some(child),
            api,
            events,
        };
        let polls = timeout(PATIENCE, has_polled.wait_for(|polled| *polled)).await;
        assert!(
            polls.is_ok(),
            "the function never asked for an event: {:?} {}",
            function.api.init_errors.lock().unwrap(),
            function.output.text()
        );
        function
    }

    /// Sends an event and waits for what becomes of it.
    pub async fn invoke(&self, event: &Value) -> Invocation {
        self.invoke_raw(event.to_string(), FUNCTION_TIMEOUT).await
    }

    /// Sends any bytes as an event, to a function that has `time` to answer.
    pub async fn invoke_raw(&self, payload: impl Into<Vec<u8>>, time: Duration) -> Invocation {
        self.send(payload.into(), time, time).await
    }

    /// Sends an event to a function that is told to have `time` to answer, and waits for longer than that.
    pub async fn invoke_late(&self, payload: impl Into<Vec<u8>>, time: Duration) -> Invocation {
        self.send(payload.into(), time, time + PATIENCE).await
    }

    async fn send(&self, payload: Vec<u8>, time: Duration, patience: Duration) -> Invocation {
        let (invocation, outcome) = oneshot::channel();
        let event = Event {
            payload,
            deadline_ms: now_millis() + u64::try_from(time.as_millis()).unwrap(),
            invocation,
        };
        assert!(self.events.send(event).is_ok(), "the Runtime API ended");
        match timeout(patience, outcome).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => Invocation::TimedOut,
        }
    }

    /// The most events that the process ever ran at once.
    pub fn most_at_once(&self) -> usize {
        self.api.most_running.load(Ordering::Relaxed)
    }

    /// Stops the process as Lambda freezes an instance, and waits until it stands still.
    pub async fn freeze(&self) {
        signal("-STOP", self.process);
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
            let (_, after_name) = stat.rsplit_once(") ").unwrap();
            after_name.starts_with('T')
        };
        while !state() {
            tokio::task::yield_now().await;
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal("-CONT", self.process);
    }

    /// Fails unless the process that was started still runs.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.child.as_mut().unwrap().try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", self.output.text());
    }

    /// Asks the process to end, as Lambda does, and waits until it has.
    /// Gives how it ended and all that it wrote.
    pub async fn terminate(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().unwrap();
        signal("-TERM", self.process);
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        match timeout(PATIENCE, ended).await {
            Ok(status) => (status.unwrap(), self.output.complete()),
            Err(_) => {
                signal("-KILL", self.process);
                panic!("SIGTERM did not end it: {}", self.output.text())
            }
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// Serves HTTP until the test is over.
pub fn serve(listener: TcpListener, router: Router) {
    let server = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            let connection = async move {
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            };
            spawn(connection);
        }
    };
    spawn(server);
}

/// Runs something beside the test.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the tests' side; it has no caller's scope"
)]
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

fn router(api: Arc<Api>) -> Router {
    let runtime = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{id}/response", post(response))
        .route("/invocation/{id}/error", post(error))
        .route("/init/error", post(init_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(api);
    Router::new().nest("/2018-06-01/runtime", runtime)
}

async fn next(State(api): State<Arc<Api>>) -> Response<Body> {
    if api.running.lock().unwrap().len() >= api.concurrency {
        return plain(
            StatusCode::FORBIDDEN,
            "an event must be answered before the next",
        );
    }
    api.polled.send_replace(true);
    let Some(event) = api.waiting.lock().await.recv().await else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "the test is over");
    };
    let number = api.next_id.fetch_add(1, Ordering::Relaxed);
    let id = format!("8476a536-e9f4-11e8-9739-{number:012x}");
    let mut running = api.running.lock().unwrap();
    running.insert(id.clone(), event.invocation);
    api.most_running.fetch_max(running.len(), Ordering::Relaxed);
    Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", &id)
        .header("Lambda-Runtime-Deadline-Ms", event.deadline_ms)
        .header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:us-east-1:123456789012:function:rolecall-test",
        )
        .header(
            "Lambda-Runtime-Trace-Id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        )
        .body(Body::from(event.payload))
        .unwrap()
}

async fn response(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response<Body> {
    if body.len() > MAX_RESPONSE {
        let problem = serde_json::json!({ "errorType": "Function.ResponseSizeTooLarge" });
        api.finish(&id, Invocation::Error(problem));
        return plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the response is larger than 6 MB",
        );
    }
    match serde_json::from_slice(&body) {
        Ok(response) => api.finish(&id, Invocation::Response(response)),
        Err(_) => plain(StatusCode::BAD_REQUEST, "the response is not JSON"),
    }
}

async fn error(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    let problem = serde_json::from_slice(&body).unwrap_or_default();
    api.finish(&id, Invocation::Error(problem))
}

async fn init_error(State(api): State<Arc<Api>>, body: String) -> Response<Body> {
    api.init_errors.lock().unwrap().push(body);
    plain(StatusCode::ACCEPTED, "")
}

impl Api {
    fn finish(&self, id: &str, invocation: Invocation) -> Response<Body> {
        let Some(waiting) = self.running.lock().unwrap().remove(id) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "no event with this id is being run",
            );
        };
        // After its deadline, nobody waits for an event any more.
        match waiting.send(invocation) {
            Ok(()) => plain(StatusCode::ACCEPTED, ""),
            Err(_) => plain(StatusCode::GONE, "the invocation timed out"),
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
