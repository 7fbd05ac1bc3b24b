//! One WebSocket: requests in order, and the notifications its client subscribed to.
//!
//! Invariant: a session holds at most [`MAX_SUBSCRIPTIONS`] subscriptions and no queue of its own; a client that falls behind the
//! chain's bounded event queue is disconnected with a reason, and what it missed is counted.
//! When a developer takes blocks back, `logs` tells of their logs again with `removed: true`, oldest first, and `newHeads` of the block
//! that is the newest then; in a reorganisation only of the blocks that take the others' place.
//! Source: geth's eth_subscribe (newHeads, logs, newPendingTransactions).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use interlace_chain::{Event, LogQuery, MAX_REMOVED_LOGS};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;

use crate::error::RpcError;
use crate::filters::LogFilter;
use crate::server::{Shared, stopped};
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Subscriptions of one connection.
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// How long one message may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Kind {
    Heads,
    Logs(LogQuery),
    Pending,
}

/// The subscriptions of one connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    subscriptions: Mutex<HashMap<String, Kind>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Session {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kind>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `eth_subscribe`.
    ///
    /// # Errors
    /// -32602 for an unknown kind or a malformed filter, -32005 above the bound.
    pub(crate) fn subscribe(&self, params: &Params<'_>) -> Reply {
        let kind = match params.get::<String>(0)?.as_str() {
            "newHeads" => Kind::Heads,
            "newPendingTransactions" => Kind::Pending,
            "logs" => Kind::Logs(params.optional::<LogFilter>(1)?.unwrap_or_default().query()?),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(RpcError::invalid_params(format!("no {shown:?} subscription in eth namespace")));
            }
        };
        let mut subscriptions = self.lock();
        if subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::limit(format!("{MAX_SUBSCRIPTIONS} subscriptions on one connection")));
        }
        let id = format!("{:#x}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let answer = reply(&id);
        subscriptions.insert(id, kind);
        answer
    }

    /// `eth_unsubscribe`.
    ///
    /// # Errors
    /// -32000 when there is no such subscription.
    pub(crate) fn unsubscribe(&self, params: &Params<'_>) -> Reply {
        let id: String = params.get(0)?;
        match self.lock().remove(&id) {
            Some(_) => reply(&true),
            None => Err(RpcError::refused("subscription not found")),
        }
    }

    /// What `event` means to the subscriptions, as messages; `None` when more logs were removed than are kept.
    fn notifications(&self, event: &Event) -> Option<Vec<String>> {
        let subscriptions: Vec<(String, Kind)> =
            self.lock().iter().map(|(id, kind)| (id.clone(), kind.clone())).collect();
        let mut messages = Vec::new();
        for (id, kind) in subscriptions {
            match (&kind, event) {
                (Kind::Heads, Event::Block(block)) => messages.extend(message(&id, &reply(&shapes::head(block)))),
                (Kind::Logs(query), Event::Block(block)) => {
                    for place in query.find(block) {
                        messages.extend(message(&id, &reply(&shapes::log(block, place))));
                    }
                }
                (Kind::Heads, Event::Reverted(back)) if !back.reorganised => {
                    messages.extend(message(&id, &reply(&shapes::head(&back.head))));
                }
                (Kind::Logs(_), Event::Reverted(back)) if !back.complete => return None,
                (Kind::Logs(query), Event::Reverted(back)) => {
                    for block in &back.removed {
                        for place in query.find(block) {
                            messages.extend(message(&id, &reply(&shapes::removed_log(block, place))));
                        }
                    }
                }
                (Kind::Pending, Event::Pending(hashes)) => {
                    for hash in hashes.iter() {
                        messages.extend(message(&id, &reply(hash)));
                    }
                }
                _ => {}
            }
        }
        Some(messages)
    }
}

fn message(id: &str, result: &Reply) -> Option<String> {
    let result: &RawValue = result.as_ref().ok()?;
    let id = Value::String(id.to_owned());
    Some(format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{{\"subscription\":{id},\"result\":{}}}}}",
        result.get()
    ))
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}

async fn close(socket: &mut WebSocket, code: u16, reason: String) {
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = send(socket, Message::Close(Some(frame))).await;
}

/// Serves one connection until it closes or the node stops.
pub(crate) async fn serve(mut socket: WebSocket, shared: Arc<Shared>) {
    let session = Session::default();
    let mut events = shared.rpc.chain().subscribe();
    let mut stop = shared.stop.clone();
    loop {
        tokio::select! {
            incoming = socket.recv() => {
                let body = match incoming {
                    Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                let Some(answer) = shared.run(|rpc| rpc.handle_in(&body, Some(&session))).await else { return };
                let Some(answer) = answer else { continue };
                let Ok(text) = String::from_utf8(answer) else { return };
                if !send(&mut socket, Message::Text(text.into())).await {
                    return;
                }
            }
            event = events.recv() => match event {
                Ok(event) => {
                    let Some(messages) = session.notifications(&event) else {
                        let reason = format!("more than {MAX_REMOVED_LOGS} logs were removed; connect again");
                        close(&mut socket, 1013, reason).await;
                        return;
                    };
                    for message in messages {
                        if !send(&mut socket, Message::Text(message.into())).await {
                            return;
                        }
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    shared.rpc.chain().metrics().notifications_dropped.inc_by(missed);
                    if session.lock().is_empty() {
                        continue;
                    }
                    close(&mut socket, 1013, format!("too slow: {missed} events were missed; connect again")).await;
                    return;
                }
                Err(RecvError::Closed) => return,
            },
            () = stopped(&mut stop) => {
                close(&mut socket, 1001, "the node stops".to_owned()).await;
                return;
            }
        }
    }
}
