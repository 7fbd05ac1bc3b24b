//! One WebSocket: requests in order, and the notifications its client subscribed to.
//!
//! Invariant: a session holds at most [`MAX_SUBSCRIPTIONS`] subscriptions and no queue of its own; a client that falls behind the
//! chain's bounded event queue is disconnected with a reason, and what it missed is counted. A client that answers no ping is
//! disconnected, and one that sends or takes messages too slowly by the socket itself (`pace`).
//! When a developer takes blocks back, `logs` tells of their logs again with `removed: true`, oldest first, and `newHeads` of the block
//! that is the newest then; in a reorganisation only of the blocks that take the others' place.
//! Source: geth's eth_subscribe (newHeads, logs, newPendingTransactions).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use interlace_chain::{Event, LogQuery, MAX_REMOVED_LOGS};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};

use crate::connections::Open;
use crate::error::RpcError;
use crate::filters::LogFilter;
use crate::server::{Shared, stopped};
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Subscriptions of one connection.
pub const MAX_SUBSCRIPTIONS: usize = 256;
/// Addresses and topics in all subscriptions of one connection.
pub(crate) const MAX_SESSION_OPTIONS: usize = 8_192;
/// Payload of a ping; a client answers with the same.
const PING: Bytes = Bytes::from_static(b"interlace");

#[derive(Clone, Debug)]
enum Kind {
    Heads,
    Logs(Arc<LogQuery>),
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
            "logs" => Kind::Logs(Arc::new(params.optional::<LogFilter>(1)?.unwrap_or_default().query()?)),
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(RpcError::invalid_params(format!("no {shown:?} subscription in eth namespace")));
            }
        };
        let mut subscriptions = self.lock();
        if subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::limit(format!("{MAX_SUBSCRIPTIONS} subscriptions on one connection")));
        }
        let options = |kind: &Kind| if let Kind::Logs(query) = kind { query.options() } else { 0 };
        if subscriptions.values().map(options).sum::<usize>() + options(&kind) > MAX_SESSION_OPTIONS {
            return Err(RpcError::limit(format!(
                "more than {MAX_SESSION_OPTIONS} addresses and topics in the subscriptions of one connection"
            )));
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

    fn subscriptions(&self) -> Vec<(String, Kind)> {
        self.lock().iter().map(|(id, kind)| (id.clone(), kind.clone())).collect()
    }
}

impl Kind {
    /// What `event` means to this subscription, as messages; each is written when it is its turn to be sent.
    fn notifications<'a>(&'a self, id: &'a str, event: &'a Event) -> Box<dyn Iterator<Item = String> + Send + 'a> {
        match (self, event) {
            (Self::Heads, Event::Block(block)) => Box::new(message(id, &reply(&shapes::head(block))).into_iter()),
            (Self::Logs(query), Event::Block(block)) => {
                let places = query.find(block).into_iter();
                Box::new(places.filter_map(move |place| message(id, &reply(&shapes::log(block, place)))))
            }
            (Self::Heads, Event::Reverted(back)) if !back.reorganised => {
                Box::new(message(id, &reply(&shapes::head(&back.head))).into_iter())
            }
            (Self::Logs(query), Event::Reverted(back)) => Box::new(back.removed.iter().flat_map(move |block| {
                let places = query.find(block).into_iter();
                places.filter_map(move |place| message(id, &reply(&shapes::removed_log(block, place))))
            })),
            (Self::Pending, Event::Pending(hashes)) => {
                Box::new(hashes.iter().filter_map(move |hash| message(id, &reply(hash))))
            }
            _ => Box::new(std::iter::empty()),
        }
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

async fn close(socket: &mut WebSocket, code: u16, reason: impl Into<String>) {
    let frame = CloseFrame { code, reason: reason.into().into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// The close code for a message that could not be read (RFC 6455, section 7.4.1), and why.
fn unreadable(error: &axum::Error) -> (u16, String) {
    let text = error.to_string();
    let code = match () {
        () if text.contains("Space limit exceeded") => 1009,
        () if text.contains("UTF-8") => 1007,
        () => 1002,
    };
    (code, text.chars().take(100).collect())
}

/// Serves one connection until it closes or the node stops.
pub(crate) async fn serve(mut socket: WebSocket, shared: Arc<Shared>, open: Arc<Open>) {
    let session = Arc::new(Session::default());
    let mut events = shared.rpc.chain().subscribe();
    let mut stop = shared.stop.clone();
    let every = shared.limits.ping_interval();
    let mut clock = tokio::time::interval_at(Instant::now() + every, every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        tokio::select! {
            incoming = socket.recv() => {
                silent = 0;
                let body = match incoming {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                        open.ticket().control(payload.len());
                        continue;
                    }
                    Some(Err(error)) => {
                        let (code, reason) = unreadable(&error);
                        close(&mut socket, code, reason).await;
                        return;
                    }
                    Some(Ok(Message::Close(_))) => {
                        // The answer to it is written already and waits to leave.
                        let _ = socket.flush().await;
                        return;
                    }
                    None => return,
                };
                open.ticket().complete();
                let mine = Arc::clone(&session);
                let Some(answer) = shared.answer(body, Some(mine)).await else { continue };
                let Ok(text) = Utf8Bytes::try_from(answer) else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            event = events.recv() => match event {
                Ok(event) => {
                    let subscriptions = session.subscriptions();
                    let logs = subscriptions.iter().any(|(_, kind)| matches!(kind, Kind::Logs(_)));
                    if logs && matches!(&event, Event::Reverted(back) if !back.complete) {
                        let reason = format!("more than {MAX_REMOVED_LOGS} logs were removed; connect again");
                        close(&mut socket, 1013, reason).await;
                        return;
                    }
                    for (id, kind) in subscriptions {
                        for message in kind.notifications(&id, &event) {
                            if socket.send(Message::Text(message.into())).await.is_err() {
                                return;
                            }
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
            _ = clock.tick() => {
                silent += 1;
                if silent > 2 {
                    close(&mut socket, 1001, "no answer to a ping").await;
                    return;
                }
                if socket.send(Message::Ping(PING)).await.is_err() {
                    return;
                }
            }
            () = stopped(&mut stop) => {
                close(&mut socket, 1001, "the node stops").await;
                return;
            }
        }
    }
}
