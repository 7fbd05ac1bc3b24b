//! Errors as a JSON-RPC client sees them.
//!
//! Invariant: numbers and texts are geth's where geth has the case, because clients decide by them: -32700 unreadable JSON, -32600 no
//! request, -32601 no method, -32602 wrong parameters, -32603 a fault of ours, -32000 refused, 3 reverted (with the revert data).
//! Source: JSON-RPC 2.0, section 5.1; EIP-1474; geth rpc/errors.go and internal/ethapi/errors.go.

use alloy_primitives::Bytes;
use interlace_chain::{ChainError, RemoteError};
use interlace_state::{BaseError, StateError};
use serde_json::Value;
use thiserror::Error;

/// Characters of an error's text. Parsers quote what they cannot read, and a request may be long.
pub(crate) const MAX_MESSAGE_CHARS: usize = 1_024;

/// A JSON-RPC error object.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// Number of the kind of error.
    pub code: i64,
    /// What happened.
    pub message: String,
    /// Machine-readable detail, for example revert data.
    pub data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// -32700.
    #[must_use]
    pub fn parse(detail: impl core::fmt::Display) -> Self {
        Self::new(-32700, format!("parse error: {detail}"))
    }

    /// -32600.
    #[must_use]
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(-32600, detail)
    }

    /// -32601.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        // Methods come from outside: a long one is cut so that an error is never larger than its request.
        let shown: String = method.chars().take(80).collect();
        Self::new(-32601, format!("the method {shown} does not exist/is not available"))
    }

    /// -32602.
    #[must_use]
    pub fn invalid_params(detail: impl Into<String>) -> Self {
        Self::new(-32602, detail)
    }

    /// -32603.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(-32603, detail)
    }

    /// -32000.
    #[must_use]
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(-32000, detail)
    }

    /// -32003.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(-32003, "response too large")
    }

    /// -32002: the time for it was up.
    #[must_use]
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(-32002, detail)
    }

    /// Its text, no longer than [`MAX_MESSAGE_CHARS`] unless a contract made it.
    #[must_use]
    pub fn shown(&self) -> std::borrow::Cow<'_, str> {
        let end = self.message.char_indices().nth(MAX_MESSAGE_CHARS).map(|(end, _)| end);
        match end.filter(|_| self.code != 3) {
            Some(end) => format!("{} ...", &self.message[..end]).into(),
            None => self.message.as_str().into(),
        }
    }

    /// -32005: a documented bound was met.
    #[must_use]
    pub fn limit(detail: impl Into<String>) -> Self {
        Self::new(-32005, detail)
    }

    /// 3, with the revert data; the reason is decoded where it is `Error(string)` or `Panic(uint256)`.
    #[must_use]
    pub fn reverted(data: &Bytes) -> Self {
        let message = match revert_reason(data) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: 3, message, data: Some(Value::String(data.to_string())) }
    }
}

/// The text in revert data of the form `Error(string)` or `Panic(uint256)`.
#[must_use]
pub fn revert_reason(data: &[u8]) -> Option<String> {
    alloy_sol_types::decode_revert_reason(data).filter(|_| data.len() >= 36).map(|reason| {
        // alloy prefixes both; geth's words carry the bare reason and "panic: " with the cause.
        reason.strip_prefix("revert: ").map_or_else(|| reason.clone(), str::to_owned)
    })
}

impl From<BaseError> for RpcError {
    fn from(error: BaseError) -> Self {
        StateError::from(error).into()
    }
}

impl From<RemoteError> for RpcError {
    fn from(error: RemoteError) -> Self {
        Self { code: error.code, message: error.message, data: error.data }
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        let message = error.to_string();
        match error {
            ChainError::Bound(_) => Self::limit(message),
            ChainError::State(StateError::Partial(_) | StateError::Expired { .. }) => Self::refused(message),
            ChainError::State(_) | ChainError::Interpreter(_) | ChainError::Storage(_) => Self::internal(message),
            _ => Self::refused(message),
        }
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        ChainError::from(error).into()
    }
}
