//! HTTP and WebSocket around the dispatcher.
//!
//! Invariant: every bound of [`Limits`] holds: above the number of connections the longest unused one makes room, bodies above their
//! size are answered 413, bodies that arrive too slowly 408 and the connection ends, a request that gets no turn 503; a client that
//! reads too slowly is disconnected instead of holding memory. What no limit lets in is answered with a JSON-RPC error.
//! What it does not do: TLS and HTTP/2; a public node stands behind a proxy.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::budget::Budget;
use crate::connections::{Connections, Open};
use crate::dispatch::Rpc;
use crate::error::RpcError;
use crate::guard::Guard;
use crate::lanes::{Lane, Lanes, lane};
use crate::limits::Limits;
use crate::pace::Paced;
use crate::receive::receive;
use crate::session::{self, Session};
use crate::wire;

/// Bytes of the head of a request.
pub(crate) const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Headers of a request.
pub(crate) const MAX_HEADERS: usize = 64;
/// Connections at one time that wait for a place, or are told that there is none.
pub(crate) const MAX_WAITING: usize = 64;
/// Times that a connection looks for a place before it is refused, a tenth of a second apart.
const LOOKS: usize = 20;

/// Where the server listens, for whom, and within which bounds.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Who may talk to it.
    pub guard: Guard,
    /// Bounds.
    pub limits: Limits,
}

impl ServerConfig {
    /// The defaults on `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, guard: Guard::default(), limits: Limits::default() }
    }
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rpc: Arc<Rpc>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) limits: Limits,
    lanes: Lanes,
    receiving: Arc<Budget>,
    unread: Arc<Budget>,
    guard: Guard,
}

impl Shared {
    /// Runs `work` in its turn, here and now: to hand a request to another thread costs more than most requests take. What may wait
    /// (for a block, for Python) first gives this thread's other work away.
    async fn run<T>(&self, lane: Lane, work: impl FnOnce(&Rpc) -> T + Send) -> Result<T, RpcError> {
        let _turn = self.lanes.turn(lane).await?;
        let guarded = || catch_unwind(AssertUnwindSafe(|| work(&self.rpc)));
        let done = match lane {
            Lane::Light | Lane::Heavy => guarded(),
            Lane::Write | Lane::Own => tokio::task::block_in_place(guarded),
        };
        done.map_err(|_| RpcError::internal("internal error"))
    }

    /// Answers a body, as bytes that count until they have left; `None` when it holds only notifications.
    pub(crate) async fn answer(&self, body: Bytes, session: Option<Arc<Session>>) -> Option<Bytes> {
        match self.answer_or_refusal(body, session).await {
            Ok(answer) => answer,
            Err((_, answer)) => answer,
        }
    }

    /// As [`Self::answer`]; `Err` with the status when nothing was done, or what was done has no room.
    async fn answer_or_refusal(
        &self,
        body: Bytes,
        session: Option<Arc<Session>>,
    ) -> Result<Option<Bytes>, (StatusCode, Option<Bytes>)> {
        let mine = body.clone();
        let answer = match self.run(lane(&body), move |rpc| rpc.handle_in(&mine, session.as_deref())).await {
            Ok(answer) => answer,
            Err(busy) => {
                let refusal = self.rpc.refuse(&body, &busy).map(Bytes::from);
                return Err((StatusCode::SERVICE_UNAVAILABLE, refusal));
            }
        };
        let Some(answer) = answer else { return Ok(None) };
        match self.unread.wrap(answer) {
            Some(answer) => Ok(Some(answer)),
            None => {
                let full = RpcError::limit("too many bytes of answers wait for their readers; try again");
                Err((StatusCode::SERVICE_UNAVAILABLE, self.rpc.refuse(&body, &full).map(Bytes::from)))
            }
        }
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
        let shared = Arc::new(Shared {
            rpc,
            stop: stopped,
            limits: config.limits,
            lanes: Lanes::new(&config.limits),
            receiving: Budget::new(config.limits.max_receiving_bytes),
            unread: Budget::new(config.limits.max_unread_bytes),
            guard: config.guard,
        });
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
        let ended = async {
            let _ = self.done.await;
            // A WebSocket outlives the connection that it came by; each holds a receiver, and says why it closes before it lets it go.
            self.stop.closed().await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Connections::new(&shared.limits);
    let router = router(Arc::clone(&shared));
    let mut stop = shared.stop.clone();
    let mut tasks = tokio::task::JoinSet::new();
    let waiting = Arc::new(Semaphore::new(MAX_WAITING));
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while tasks.try_join_next().is_some() {}
        let Ok((stream, _)) = stream else {
            // Out of file descriptors, or a peer that left at once: make room, and wait a moment rather than spin.
            connections.relieve();
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        match connections.admit() {
            Some(open) => drop(tasks.spawn(serve(stream, Arc::new(open), router.clone(), Arc::clone(&shared)))),
            None => {
                // Whoever finds the hall full as well is closed without a word.
                if let Ok(permit) = Arc::clone(&waiting).try_acquire_owned() {
                    tasks.spawn(wait(stream, permit, Arc::clone(&connections), router.clone(), Arc::clone(&shared)));
                }
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Serves one connection until it ends, is recalled, or the node stops.
async fn serve(stream: TcpStream, open: Arc<Open>, router: Router, shared: Arc<Shared>) {
    let limits = &shared.limits;
    let mut stop = shared.stop.clone();
    let paced = Paced::new(stream, Arc::clone(open.ticket()), Arc::clone(&shared.receiving), limits);
    let inner = TowerToHyperService::new(router);
    let mine = Arc::clone(&open);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Arc::clone(&mine));
        hyper::service::Service::call(&inner, request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout())
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        // Who has said all and only listens is answered all the same.
        .half_close(true)
        .serve_connection(TokioIo::new(paced), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = open.ticket().recalled() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Serves a connection that found no place as soon as there is one, or refuses it.
async fn wait(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    connections: Arc<Connections>,
    router: Router,
    shared: Arc<Shared>,
) {
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(open) = connections.admit() {
            drop(permit);
            return serve(stream, Arc::new(open), router, shared).await;
        }
    }
    farewell(stream).await;
}

/// Tells a client that there is no room for it. What it has sent is read first: closing over unread bytes would reset the connection and
/// take the refusal with it.
async fn farewell(mut stream: TcpStream) {
    let body = refusal_text("too many connections, and all are in use; try again");
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.try_write(&[head.as_bytes(), body.as_bytes()].concat());
    let _ = stream.shutdown().await;
    let rest = async {
        let mut bytes = [0; 4_096];
        while let Ok(1..) = stream.read(&mut bytes).await {}
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
}

fn refusal_text(detail: &str) -> String {
    let error = RpcError::limit(detail);
    serde_json::json!({ "jsonrpc": "2.0", "id": null, "error": { "code": error.code, "message": error.message } })
        .to_string()
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", post(call).get(upgrade))
        .route("/ws", get(upgrade))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Refuses foreign hosts and pages, answers preflights, and names the allowed page in the answer.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Err(refusal) = shared.guard.check(request.headers()) {
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let open = request.extensions().get::<Arc<Open>>().cloned();
    if open.as_ref().is_some_and(|open| !open.begin()) {
        return json_answer(StatusCode::SERVICE_UNAVAILABLE, refusal_text("the connection had to make room").into());
    }
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    if let Some(open) = open {
        open.ticket().rests();
    }
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

async fn call(State(shared): State<Arc<Shared>>, request: Request) -> Response {
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
    let (limits, open) = (&shared.limits, request.extensions().get::<Arc<Open>>().cloned());
    let received = receive(request.into_body(), limits.max_body_bytes, limits.body_timeout(), &shared.receiving).await;
    let (body, _held) = match received {
        Ok(received) => received,
        Err((status, error)) => {
            let mut response = json_answer(status, wire::answer(None, &Err(error)).into());
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
    };
    if open.is_some_and(|open| !open.ticket().executes()) {
        return json_answer(StatusCode::SERVICE_UNAVAILABLE, refusal_text("the connection had to make room").into());
    }
    match shared.answer_or_refusal(body, None).await {
        Ok(Some(answer)) => json_answer(StatusCode::OK, answer),
        Err((status, Some(answer))) => {
            let mut response = json_answer(status, answer);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Ok(None) | Err((_, None)) => StatusCode::NO_CONTENT.into_response(),
    }
}

fn json_answer(status: StatusCode, body: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(body)).into_response()
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(open): Extension<Arc<Open>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::METHOD_NOT_ALLOWED, "send JSON-RPC by POST, or open a WebSocket").into_response();
    };
    if !open.upgrade() {
        let most = shared.limits.max_websockets();
        let text = refusal_text(&format!("{most} WebSockets are open"));
        return json_answer(StatusCode::SERVICE_UNAVAILABLE, text.into());
    }
    let max = shared.limits.max_body_bytes;
    upgrade.max_message_size(max).max_frame_size(max).on_upgrade(move |socket| session::serve(socket, shared, open))
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.run(Lane::Light, |rpc| rpc.health()).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let text = shared.run(Lane::Light, |rpc| rpc.metrics()).await.unwrap_or_default();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::developer::tests::network;

    fn open(address: SocketAddr) -> TcpStream {
        let mut socket = TcpStream::connect(address).unwrap();
        let head = "GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        socket
    }

    /// On one thread the server's own task may be done while sockets still wait for their turn: with so many, some do.
    #[test]
    fn who_stops_waits_until_each_socket_was_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = || Server::start(Arc::new(network()), ServerConfig::new(([127, 0, 0, 1], 0).into()));
        let server = runtime.block_on(server()).unwrap();
        let sockets: Vec<_> = (0..100).map(|_| open(server.address())).collect();
        runtime.block_on(async {
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                while socket.peek(&mut [0]).is_err() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                socket.set_nonblocking(false).unwrap();
            }
        });
        runtime.block_on(server.stop());
        drop(runtime);
        for mut socket in sockets {
            let mut said = Vec::new();
            socket.read_to_end(&mut said).unwrap();
            let reason = b"the node stops";
            let close = [&[0x88, 2 + reason.len() as u8, 0x03, 0xe9][..], reason].concat();
            assert!(said.ends_with(&close), "{}", String::from_utf8_lossy(&said));
        }
    }
}
