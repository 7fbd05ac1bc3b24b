//! HTTP and WebSocket around the dispatcher.
//!
//! Invariant: every bound of [`ServerConfig`] holds: connections wait in the listener's backlog above their number, bodies above their
//! size are answered 413, bodies that arrive too slowly 408 and the connection ends; a client that reads too slowly loses its
//! subscription with a stated reason instead of holding memory.
//! What it does not do: TLS and HTTP/2; a public node stands behind a proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State, WebSocketUpgrade};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::dispatch::Rpc;
use crate::guard::Guard;
use crate::session;

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Who may talk to it.
    pub guard: Guard,
    /// Open connections.
    pub max_connections: usize,
    /// Bytes of one request body or WebSocket message.
    pub max_body_bytes: usize,
    /// Requests that execute at the same time.
    pub max_concurrent: usize,
    /// How long a connection may take for the head of a request, idle time included.
    pub head_timeout: Duration,
    /// How long the body of a request may take after its head.
    pub body_timeout: Duration,
}

impl ServerConfig {
    /// The defaults on `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            guard: Guard::default(),
            max_connections: 512,
            max_body_bytes: 16 * 1024 * 1024,
            max_concurrent: 64,
            head_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(10),
        }
    }
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) rpc: Arc<Rpc>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
    guard: Arc<Guard>,
    max_body_bytes: usize,
    body_timeout: Duration,
}

impl Shared {
    /// Runs a request on a thread that may block, at most `max_concurrent` of them at once.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Rpc) -> T + Send + 'static) -> Option<T> {
        let _slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let rpc = Arc::clone(&self.rpc);
        tokio::task::spawn_blocking(move || work(&rpc)).await.ok()
    }
}

/// Returns when the server shall stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone: stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A server that listens; dropping it does not stop it, [`Server::stop`] does.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    done: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Binds and serves `rpc`.
    ///
    /// # Errors
    /// When the address cannot be bound, for example because another process listens there.
    pub async fn start(rpc: Arc<Rpc>, config: ServerConfig) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let shared = Shared {
            rpc,
            slots: Arc::new(Semaphore::new(config.max_concurrent)),
            stop: stopped,
            guard: Arc::new(config.guard.clone()),
            max_body_bytes: config.max_body_bytes,
            body_timeout: config.body_timeout,
        };
        let done = tokio::spawn(accept(listener, shared, config));
        Ok(Self { address, stop, done })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, lets running requests end and closes the connections; gives up on them after five seconds.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(Duration::from_secs(5), self.done).await;
    }
}

async fn accept(listener: TcpListener, shared: Shared, config: ServerConfig) {
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let router = router(shared.clone());
    let mut stop = shared.stop.clone();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = stream else {
            // Out of file descriptors, or a peer that left at once: wait a moment rather than spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut stop = stop.clone();
        let head_timeout = config.head_timeout;
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_timeout)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stopped(&mut stop) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", post(call).get(upgrade))
        .route("/ws", get(upgrade))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(shared.max_body_bytes))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Refuses foreign hosts and pages, answers preflights, and names the allowed page in the answer.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if let Err(refusal) = shared.guard.check(request.headers()) {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

async fn call(State(shared): State<Shared>, request: Request) -> Response {
    // A page may send text/plain without a preflight; requiring JSON closes that door a second time.
    let json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().starts_with("application/json"));
    if !json {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid content type, only application/json is supported")
            .into_response();
    }
    let body = match tokio::time::timeout(shared.body_timeout, Bytes::from_request(request, &shared)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal.into_response(),
        Err(_) => {
            let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
            return (StatusCode::REQUEST_TIMEOUT, close, "the request's body came too slowly").into_response();
        }
    };
    match shared.run(move |rpc| rpc.handle(&body)).await {
        Some(Some(answer)) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(answer)).into_response()
        }
        Some(None) => StatusCode::NO_CONTENT.into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node stops").into_response(),
    }
}

async fn upgrade(
    State(shared): State<Shared>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::METHOD_NOT_ALLOWED, "send JSON-RPC by POST, or open a WebSocket").into_response();
    };
    let max = shared.max_body_bytes;
    upgrade.max_message_size(max).max_frame_size(max).on_upgrade(move |socket| session::serve(socket, shared))
}

async fn health(State(shared): State<Shared>) -> Response {
    let text = shared.run(|rpc| rpc.health()).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = shared.run(|rpc| rpc.metrics()).await.unwrap_or_default();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
