//! JSON-RPC over HTTP and WebSocket.
//!
//! Why Rust: a Python server answers 8 to 12 thousand requests per second on two cores; one in this language several times that.
//!
//! Invariant: malformed input of any kind is answered with an error of JSON-RPC's codes and changes nothing.
//! What it does not do: TLS, authentication, and the engine namespace (its methods answer -32601).

#![forbid(unsafe_code)]

mod accounts;
mod budget;
mod build;
mod call;
mod connections;
mod console;
mod developer;
mod dispatch;
mod error;
mod filters;
mod forward;
mod guard;
mod lanes;
mod limits;
mod pace;
mod raw;
mod read;
mod receive;
mod send;
mod server;
mod session;
mod shapes;
mod simulate;
mod state;
mod trace;
mod wire;

pub use accounts::Accounts;
pub use console::ConsoleListener;
pub use dispatch::{MAX_ANSWER_BYTES, MAX_BATCH, Namespace, Rpc, method_table, methods};
pub use error::{RpcError, revert_reason};
pub use filters::{FILTER_LIFETIME, MAX_FILTERS};
pub use guard::Guard;
pub use limits::{Limits, table as limits};
pub use server::{Server, ServerConfig};
pub use session::MAX_SUBSCRIPTIONS;
