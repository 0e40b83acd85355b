//! The seeded world's AWS on connections that are kept alive, as AWS keeps them: they can be counted, closed, and held
//! up in the middle of a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Response, Uri, header},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, sync::watch};

use super::{runtime_api::spawn, world};

/// The proxy before moto. It ends with the test's runtime.
pub struct KeptAlive {
    pub endpoint: String,
    connections: Arc<AtomicUsize>,
    requests: watch::Receiver<usize>,
    cuts: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl KeptAlive {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (coming, requests) = watch::channel(0);
        let (cuts, open) = (watch::channel(0).0, watch::channel(true).0);
        let moto = reqwest::Client::builder().no_proxy().build().unwrap();
        let gate = open.subscribe();
        let router = Router::new().fallback(move |method, uri, headers, body| {
            coming.send_modify(|came| *came += 1);
            forward(moto.clone(), gate.clone(), method, uri, headers, body)
        });
        let (counted, cutting) = (Arc::clone(&connections), cuts.clone());
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let service = TowerToHyperService::new(router.clone());
                let mut cut = cutting.subscribe();
                spawn(async move {
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = served => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            endpoint,
            connections,
            requests,
            cuts,
            open,
        }
    }

    /// How many connections were ever opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many requests ever came.
    pub fn requests(&self) -> usize {
        *self.requests.borrow()
    }

    /// Waits until more than so many came.
    pub async fn until_more_than(&self, requests: usize) {
        let mut came = self.requests.clone();
        came.wait_for(|came| *came > requests).await.unwrap();
    }

    /// Closes every connection, as AWS does with those that are idle for long.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Answers nothing until it is opened again.
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

/// Sends a request on as it is: it is signed, its host included.
async fn forward(
    moto: reqwest::Client,
    mut gate: watch::Receiver<bool>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    gate.wait_for(|open| *open).await.unwrap();
    let url = format!("{}{}", world().endpoint, uri.path_and_query().unwrap());
    let sent = moto.request(method, url).headers(headers).body(body);
    let answer = sent.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != header::CONNECTION && name != header::TRANSFER_ENCODING {
            response = response.header(name, value);
        }
    }
    response
        .body(Body::from(answer.bytes().await.unwrap()))
        .unwrap()
}
