//! The body of a request, read with patience and room that have an end.
//!
//! Invariant: a body above the bound is never held: the rest of it is read and forgotten, a bounded amount and for a bounded time, so that
//! its client reads the refusal instead of a broken connection. Every refusal is a JSON-RPC error, as its status says for HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::budget::{Budget, Held};
use crate::error::RpcError;

/// How many times the bound is read and forgotten before the connection is closed on its client.
const MAX_FORGOTTEN: u64 = 16;

/// A body that is not taken: its status, and what the client is told.
pub(crate) type Refusal = (StatusCode, RpcError);

/// Reads `body` of at most `max` bytes.
///
/// # Errors
/// 413 when it is too large, 408 when it is too slow, 503 when all clients together send too much, 400 when it breaks off.
pub(crate) async fn receive(
    body: Body,
    max: usize,
    patience: Duration,
    budget: &Arc<Budget>,
) -> Result<(Bytes, Held), Refusal> {
    let deadline = Instant::now() + patience;
    let slow = || {
        let text = format!("the body of the request took longer than {} ms", patience.as_millis());
        (StatusCode::REQUEST_TIMEOUT, RpcError::limit(text))
    };
    let full = || (StatusCode::SERVICE_UNAVAILABLE, RpcError::limit("too many bytes are being received; try again"));
    let hint = body.size_hint();
    let announced = hint.upper().unwrap_or(0).max(hint.lower());
    let mut held = budget.hold(0).ok_or_else(full)?;
    let mut frames = body.into_data_stream();
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    let mut total: usize = 0;
    loop {
        if announced > max as u64 || total > max {
            drop((first, rest, held));
            forget(&mut frames, max as u64 * MAX_FORGOTTEN, deadline).await;
            let size = announced.max(total as u64);
            let text = format!("content length too large ({size}>{max})");
            return Err((StatusCode::PAYLOAD_TOO_LARGE, RpcError::limit(text)));
        }
        let frame = match timeout_at(deadline, frames.next()).await {
            Err(_) => return Err(slow()),
            Ok(None) => break,
            Ok(Some(Err(_))) => {
                return Err((StatusCode::BAD_REQUEST, RpcError::invalid_request("the body of the request breaks off")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        total += frame.len();
        if total > max {
            continue;
        }
        if !held.grow(total) {
            return Err(full());
        }
        match &first {
            None => first = Some(frame),
            Some(begin) => {
                if rest.is_empty() {
                    rest.extend_from_slice(begin);
                }
                rest.extend_from_slice(&frame);
            }
        }
    }
    let whole = if rest.is_empty() { first.unwrap_or_default() } else { rest.into() };
    Ok((whole, held))
}

/// Reads and forgets.
async fn forget(frames: &mut axum::body::BodyDataStream, most: u64, deadline: Instant) {
    let mut forgotten = 0;
    while forgotten < most
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, frames.next()).await
    {
        forgotten += frame.len() as u64;
    }
}
