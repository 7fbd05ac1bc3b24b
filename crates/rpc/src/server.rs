//! HTTP and WebSocket around the dispatcher.
//!
//! Each connection has a thread of its own with its own reactor, and its requests execute there: a request that takes long (a call, a
//! block) delays nobody else's, and none is handed from thread to thread, which costs more than most requests take.
//!
//! Invariant: every bound of [`ServerConfig`] holds: connections wait in the listener's backlog above their number, bodies above their
//! size are answered 413, bodies that arrive too slowly 408 and the connection ends; a client that reads too slowly loses its
//! subscription with a stated reason instead of holding memory.
//! What it does not do: TLS and HTTP/2; a public node stands behind a proxy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, WebSocketUpgrade};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

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
    /// Open connections, WebSockets included; each has a thread. The runtime must have as many blocking threads.
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

/// What the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rpc: Arc<Rpc>,
    pub(crate) stop: watch::Receiver<bool>,
    slots: Semaphore,
    config: ServerConfig,
}

impl Shared {
    /// Runs a request here and now, at most `max_concurrent` of them at once; `None` if it panicked.
    pub(crate) async fn run<T>(&self, work: impl FnOnce(&Rpc) -> T) -> Option<T> {
        let _slot = self.slots.acquire().await.ok()?;
        catch_unwind(AssertUnwindSafe(|| work(&self.rpc))).ok()
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
        let slots = Semaphore::new(config.max_concurrent);
        let shared = Arc::new(Shared { rpc, stop: stopped, slots, config });
        let done = tokio::spawn(accept(listener, shared));
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(shared.config.max_connections));
    let mut stop = shared.stop.clone();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.and_then(|(stream, _)| stream.into_std()),
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok(stream) = stream else {
            // Out of file descriptors, or a peer that left at once: wait a moment rather than spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        // Threads of this pool are kept for the next connection.
        connections.spawn_blocking(move || {
            let served = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|reactor| reactor.block_on(connection(stream, shared)));
            if let Err(error) = served {
                tracing::debug!(%error, "a connection was not served");
            }
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection until it ends, and the WebSocket that it may become.
async fn connection(stream: std::net::TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let stream = TcpStream::from_std(stream)?;
    stream.set_nodelay(true)?;
    let mut stop = shared.stop.clone();
    // A WebSocket outlives the HTTP connection that it was; as long as it holds `open`, this thread stays with it.
    let (open, mut closed) = mpsc::channel::<Infallible>(1);
    let head_timeout = shared.config.head_timeout;
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (shared, open) = (Arc::clone(&shared), open.clone());
        async move { Ok::<_, Infallible>(respond(&shared, open, request.map(Body::new)).await) }
    });
    {
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
    }
    let _ = closed.recv().await;
    Ok(())
}

/// Refuses foreign hosts and pages, answers preflights, and names the allowed page in the answer.
async fn respond(shared: &Arc<Shared>, open: mpsc::Sender<Infallible>, request: Request) -> Response {
    if let Err(refusal) = shared.config.guard.check(request.headers()) {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        route(shared, open, request).await
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

async fn route(shared: &Arc<Shared>, open: mpsc::Sender<Infallible>, request: Request) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    const METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/" if request.method() == Method::POST => call(shared, request).await,
        "/" | "/ws" if reads => upgrade(shared, open, request).await,
        "/health" if reads => page(shared.run(|rpc| rpc.health()).await, JSON),
        "/metrics" if reads => page(shared.run(|rpc| rpc.metrics()).await, METRICS),
        "/" | "/ws" | "/health" | "/metrics" => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn page(body: Option<impl Into<Body>>, kind: HeaderValue) -> Response {
    match body {
        Some(body) => ([(header::CONTENT_TYPE, kind)], body.into()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn call(shared: &Shared, mut request: Request) -> Response {
    // A page may send text/plain without a preflight; requiring JSON closes that door a second time.
    const JSON: &[u8] = b"application/json";
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let json = kind.and_then(|kind| kind.get(..JSON.len())).is_some_and(|kind| kind.eq_ignore_ascii_case(JSON));
    if !json {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid content type, only application/json is supported")
            .into_response();
    }
    DefaultBodyLimit::max(shared.config.max_body_bytes).apply(&mut request);
    let body = match tokio::time::timeout(shared.config.body_timeout, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal.into_response(),
        Err(_) => {
            let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
            return (StatusCode::REQUEST_TIMEOUT, close, "the request's body came too slowly").into_response();
        }
    };
    match shared.run(|rpc| rpc.handle(&body)).await {
        Some(Some(answer)) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(answer)).into_response()
        }
        Some(None) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn upgrade(shared: &Arc<Shared>, open: mpsc::Sender<Infallible>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return (StatusCode::METHOD_NOT_ALLOWED, "send JSON-RPC by POST, or open a WebSocket").into_response();
    };
    let max = shared.config.max_body_bytes;
    let shared = Arc::clone(shared);
    upgrade.max_message_size(max).max_frame_size(max).on_upgrade(move |socket| async move {
        session::serve(socket, shared).await;
        drop(open);
    })
}
