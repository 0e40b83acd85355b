//! AWS Lambda, as a function's process sees it: the Runtime API, with the real binary as the function.
//!
//! It keeps the Runtime API's rules: an event goes to one poll, an id is answered once, an answer is JSON of at most
//! 6 MB, or a stream of at most 200 MB that begins with a prelude, and what comes after the deadline is nobody's. An event
//! whose answer broke off has none for good: nothing more is taken for it, and no next event is given in its place.
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
    http::{HeaderMap, Response, StatusCode},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::BodyExt;
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
/// The largest one that is streamed: Lambda quotas, "Streamed response".
const MAX_STREAM: usize = 200 * 1_024 * 1_024;
/// In how much of a stream the zeros must come that end its prelude.
const MAX_PRELUDE: usize = 16 * 1_024;
/// How long a function runs, unless a test says otherwise.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of an event.
#[derive(Debug)]
pub enum Invocation {
    /// `POST …/response`.
    Response(Value),
    /// The same as a stream that came to its end.
    Streamed { prelude: Value, body: Vec<u8> },
    /// `POST …/error`, an answer that Lambda does not take, or a stream that the function broke off.
    Error(#[expect(dead_code, reason = "a failing test shows it")] Value),
    /// Nothing before the deadline.
    TimedOut,
}

/// An event on its way to the function.
struct Event {
    payload: Vec<u8>,
    deadline_ms: u64,
    waiting: Waiting,
}

/// Who waits for what becomes of an event.
struct Waiting {
    invocation: oneshot::Sender<Invocation>,
    /// Whoever reads a streamed body as it comes.
    parts: Option<mpsc::UnboundedSender<Bytes>>,
}

/// How far an answer comes whose connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Lambda saw nothing of it.
    Before,
    /// Lambda had begun to read it.
    Amid,
}

/// The Runtime API's side.
struct Api {
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    /// The events that are out; without anyone who waits, those whose answer broke off.
    running: Mutex<HashMap<String, Option<Waiting>>>,
    /// The most events that were ever out at once.
    most_running: AtomicUsize,
    /// How many events may be out at once.
    concurrency: usize,
    /// How often an event was asked for beyond that.
    refused_polls: AtomicUsize,
    next_id: AtomicU64,
    /// How the connection fails on which the next answer comes.
    fails: Mutex<Option<Lost>>,
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
            refused_polls: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            fails: Mutex::default(),
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

    /// Sends an event to a function that has `time` to answer. Gives the parts of a streamed body as they come, and what
    /// becomes of the event, which is waited for longer than that.
    pub fn watch(
        &self,
        event: &Value,
        time: Duration,
    ) -> (
        mpsc::UnboundedReceiver<Bytes>,
        impl Future<Output = Invocation> + use<>,
    ) {
        let (parts, coming) = mpsc::unbounded_channel();
        let payload = event.to_string().into_bytes();
        let outcome = self.enqueue(payload, time, time + PATIENCE, Some(parts));
        (coming, outcome)
    }

    async fn send(&self, payload: Vec<u8>, time: Duration, patience: Duration) -> Invocation {
        self.enqueue(payload, time, patience, None).await
    }

    fn enqueue(
        &self,
        payload: Vec<u8>,
        time: Duration,
        patience: Duration,
        parts: Option<mpsc::UnboundedSender<Bytes>>,
    ) -> impl Future<Output = Invocation> + use<> {
        let (invocation, outcome) = oneshot::channel();
        let event = Event {
            payload,
            deadline_ms: now_millis() + u64::try_from(time.as_millis()).unwrap(),
            waiting: Waiting { invocation, parts },
        };
        assert!(self.events.send(event).is_ok(), "the Runtime API ended");
        async move {
            match timeout(patience, outcome).await {
                Ok(outcome) => outcome.unwrap(),
                Err(_) => Invocation::TimedOut,
            }
        }
    }

    /// The most events that the process ever ran at once.
    pub fn most_at_once(&self) -> usize {
        self.api.most_running.load(Ordering::Relaxed)
    }

    /// How often the process asked for an event while it could be given none.
    pub fn refused_polls(&self) -> usize {
        self.api.refused_polls.load(Ordering::Relaxed)
    }

    /// Lets the connection fail on which the next answer comes.
    pub fn lose_next(&self, lost: Lost) {
        *self.api.fails.lock().unwrap() = Some(lost);
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

    /// Waits until the process ends by itself. Gives how it ended and all that it wrote.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        match timeout(PATIENCE, ended).await {
            Ok(status) => (status.unwrap(), self.output.complete()),
            Err(_) => {
                signal("-KILL", self.process);
                panic!("it did not end: {}", self.output.text())
            }
        }
    }

    /// The most memory that the process ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() * 1_024
    }

    /// Asks the process to end, as Lambda does, and waits until it has.
    /// Gives how it ended and all that it wrote.
    pub async fn terminate(self) -> (ExitStatus, String) {
        self.tell_to_end();
        self.ended().await
    }

    /// Asks the process to end.
    pub fn tell_to_end(&self) {
        signal("-TERM", self.process);
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
        api.refused_polls.fetch_add(1, Ordering::Relaxed);
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
    running.insert(id.clone(), Some(event.waiting));
    api.most_running.fetch_max(running.len(), Ordering::Relaxed);
    Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", &id)
        .header("Lambda-Runtime-Invocation-Id", invocation_id(&id))
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

/// What comes with an event, and must come back with its answer.
fn invocation_id(id: &str) -> String {
    format!("of-{id}")
}

async fn response(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let lost = api.fails.lock().unwrap().take();
    if let Some(lost) = lost {
        if lost == Lost::Amid {
            let waiting = api.running.lock().unwrap().insert(id, None);
            let problem = serde_json::json!({ "errorType": "the answer broke off" });
            let _ = waiting
                .unwrap()
                .unwrap()
                .invocation
                .send(Invocation::Error(problem));
        }
        panic!("this ends the connection");
    }
    if header(&headers, "lambda-runtime-invocation-id") != invocation_id(&id) {
        let problem = serde_json::json!({ "errorType": "the answer of another invocation" });
        return api.finish(&id, Invocation::Error(problem));
    }
    match header(&headers, "lambda-runtime-function-response-mode") {
        "" => whole(&api, &id, body).await,
        "streaming" => {
            let invocation = match streamed(&api, &id, &headers, body).await {
                Ok(invocation) => invocation,
                Err(problem) => Invocation::Error(serde_json::json!({ "errorType": problem })),
            };
            api.finish(&id, invocation)
        }
        other => panic!("the response mode is {other}"),
    }
}

/// The values of a header.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

async fn whole(api: &Api, id: &str, body: Body) -> Response<Body> {
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return plain(StatusCode::BAD_REQUEST, "the response broke off");
    };
    if body.len() > MAX_RESPONSE {
        let problem = serde_json::json!({ "errorType": "Function.ResponseSizeTooLarge" });
        api.finish(id, Invocation::Error(problem));
        return plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the response is larger than 6 MB",
        );
    }
    match serde_json::from_slice(&body) {
        Ok(response) => api.finish(id, Invocation::Response(response)),
        Err(_) => plain(StatusCode::BAD_REQUEST, "the response is not JSON"),
    }
}

/// Reads a stream to its end, and passes the parts of its body on.
async fn streamed(
    api: &Api,
    id: &str,
    headers: &HeaderMap,
    mut stream: Body,
) -> Result<Invocation, String> {
    const TRAILERS: [&str; 2] = [
        "lambda-runtime-function-error-type",
        "lambda-runtime-function-error-body",
    ];
    for (name, expected) in [
        (
            "content-type",
            "application/vnd.awslambda.http-integration-response",
        ),
        ("transfer-encoding", "chunked"),
        ("content-length", ""),
    ] {
        let value = header(headers, name);
        if value != expected {
            return Err(format!("{name} is {value}"));
        }
    }
    let announced: Vec<_> = headers.get_all("trailer").iter().collect();
    if announced != TRAILERS {
        return Err(format!("these trailers are announced: {announced:?}"));
    }
    let parts = {
        let mut running = api.running.lock().unwrap();
        let waiting = running.get_mut(id).and_then(Option::as_mut);
        let waiting = waiting.ok_or("no event with this id is run")?;
        waiting.parts.take()
    };
    let (mut prelude, mut body) = (None, Vec::new());
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| format!("the stream broke off: {error}"))?;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return Err(failure(&frame.into_trailers().unwrap())),
        };
        body.extend_from_slice(&data);
        if body.len() > MAX_STREAM {
            return Err("the stream is larger than 200 MB".to_owned());
        }
        let mut new = data.len();
        if prelude.is_none() {
            let Some(end) = body.windows(8).position(|bytes| bytes == [0; 8]) else {
                if body.len() > MAX_PRELUDE {
                    return Err("the prelude has no end".to_owned());
                }
                continue;
            };
            if end + 8 > MAX_PRELUDE {
                return Err("the prelude is larger than 16 KB".to_owned());
            }
            let json = serde_json::from_slice(&body[..end]);
            prelude = Some(json.map_err(|error| format!("the prelude is not JSON: {error}"))?);
            body.drain(..end + 8);
            new = body.len();
        }
        if let (Some(parts), true) = (&parts, new > 0) {
            let _ = parts.send(Bytes::copy_from_slice(&body[body.len() - new..]));
        }
    }
    let prelude = prelude.ok_or("the stream ended before its prelude did")?;
    Ok(Invocation::Streamed { prelude, body })
}

/// What the trailers say that end a stream which is not all.
fn failure(trailers: &HeaderMap) -> String {
    let kind = header(trailers, "lambda-runtime-function-error-type");
    let body = header(trailers, "lambda-runtime-function-error-body");
    let body = BASE64_STANDARD.decode(body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["errorType"], kind);
    format!("the function broke off: {body}")
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
        let mut running = self.running.lock().unwrap();
        let waiting = match running.get_mut(id).map(Option::take) {
            Some(Some(waiting)) => waiting,
            Some(None) => return plain(StatusCode::FORBIDDEN, "its answer broke off"),
            None => {
                return plain(
                    StatusCode::BAD_REQUEST,
                    "no event with this id is being run",
                );
            }
        };
        running.remove(id);
        // After its deadline, nobody waits for an event any more.
        match waiting.invocation.send(invocation) {
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
