//! JSON-RPC on the wire: requests read without copying, answers written once.
//!
//! Invariant: any bytes give an answer or, for a notification, none; never a panic. Depth is bounded by the JSON reader (128).
//! Source: JSON-RPC 2.0. What it does not do: parameters by name; built-in methods take arrays, as Ethereum's clients send.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::dispatch::MAX_ANSWER_BYTES;
use crate::error::RpcError;

/// One request.
#[derive(Debug, Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    /// Method.
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    /// Parameters as they came.
    #[serde(borrow, default)]
    pub(crate) params: Option<&'a RawValue>,
    /// Id as it came; none for a notification.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) id: Option<&'a RawValue>,
}

/// An id of `null` is an id: only an absent one makes a notification.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// A single request, or why it is none.
    One(Box<Result<Request<'a>, RpcError>>),
    /// A batch.
    Many(Vec<Result<Request<'a>, RpcError>>),
}

impl<'a> Request<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, RpcError> {
        let request: Self = serde_json::from_str(raw.get())
            .map_err(|error| RpcError::invalid_request(format!("invalid request: {error}")))?;
        if request.jsonrpc.as_deref() != Some("2.0") || request.method.is_empty() {
            return Err(RpcError::invalid_request("invalid request: jsonrpc must be \"2.0\" and method a name"));
        }
        if request.id.is_some_and(|id| id.get().starts_with(['{', '['])) {
            return Err(RpcError::invalid_request("invalid request: id must be a string, a number or null"));
        }
        Ok(request)
    }
}

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// -32700 when it is not JSON, -32600 when a batch is empty or longer than `max_batch`.
    pub(crate) fn read(bytes: &'a [u8], max_batch: usize) -> Result<Self, RpcError> {
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(RpcError::parse)?;
        if !raw.get().starts_with('[') {
            return Ok(Self::One(Box::new(Request::read(raw))));
        }
        let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(RpcError::parse)?;
        if items.is_empty() {
            return Err(RpcError::invalid_request("empty batch"));
        }
        if items.len() > max_batch {
            return Err(RpcError::invalid_request(format!(
                "batch too large: {} requests, at most {max_batch}",
                items.len()
            )));
        }
        Ok(Self::Many(items.into_iter().map(Request::read).collect()))
    }
}

/// Positional parameters.
#[derive(Debug, Default)]
pub(crate) struct Params<'a>(Vec<&'a RawValue>);

impl<'a> Params<'a> {
    /// Splits an array of parameters; absent and `null` are no parameters.
    ///
    /// # Errors
    /// -32602 for anything but an array.
    pub(crate) fn read(raw: Option<&'a RawValue>) -> Result<Self, RpcError> {
        match raw {
            None => Ok(Self::default()),
            Some(raw) if raw.get() == "null" => Ok(Self::default()),
            Some(raw) => {
                serde_json::from_str(raw.get()).map(Self).map_err(|_| RpcError::invalid_params("non-array args"))
            }
        }
    }

    /// All of them, as values.
    ///
    /// # Errors
    /// -32602 for what is no JSON that fits into memory; no parameter that was read is.
    pub(crate) fn values(&self) -> Result<Vec<serde_json::Value>, RpcError> {
        let read = self.0.iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<_, _>>();
        read.map_err(|error| RpcError::invalid_params(error.to_string()))
    }

    /// Parameter `index`, which must be there.
    ///
    /// # Errors
    /// -32602 when it is missing or of another shape.
    pub(crate) fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?
            .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
    }

    /// Parameter `index`; `None` when it is absent or `null`.
    ///
    /// # Errors
    /// -32602 when it is of another shape.
    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => serde_json::from_str(raw.get())
                .map(Some)
                .map_err(|error| RpcError::invalid_params(format!("invalid argument {index}: {error}"))),
        }
    }
}

/// What a method answers.
pub(crate) type Reply = Result<Box<RawValue>, RpcError>;

/// Writes `value` as the result of a method.
///
/// # Errors
/// -32003 when it is larger than an answer may be; -32603 when it cannot be written; no type of this crate cannot.
pub(crate) fn reply(value: &(impl Serialize + ?Sized)) -> Reply {
    let raw = serde_json::value::to_raw_value(value).map_err(|error| RpcError::internal(error.to_string()))?;
    if raw.get().len() > MAX_ANSWER_BYTES { Err(RpcError::too_large()) } else { Ok(raw) }
}

/// Writes the answer to the request with `id`.
#[must_use]
pub(crate) fn answer(id: Option<&RawValue>, outcome: &Reply) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorObject<'a> {
        code: i64,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a serde_json::Value>,
    }
    let id = id.map_or("null", RawValue::get);
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    match outcome {
        Ok(result) => {
            out.extend_from_slice(b",\"result\":");
            out.extend_from_slice(result.get().as_bytes());
        }
        Err(error) => {
            out.extend_from_slice(b",\"error\":");
            let object = ErrorObject { code: error.code, message: &error.shown(), data: error.data.as_ref() };
            match serde_json::to_vec(&object) {
                Ok(text) => out.extend_from_slice(&text),
                Err(_) => out.extend_from_slice(b"{\"code\":-32603,\"message\":\"internal error\"}"),
            }
        }
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::{Address, Bytes, U64, U256};
    use interlace_chain::pool::PoolTransaction;
    use proptest::prelude::*;

    use super::*;

    /// Text that is nearly a request, and bytes that are not.
    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"jsonrpc\"",
            "\"2.0\"",
            "\"method\"",
            "\"id\"",
            "\"params\"",
            "null",
            "1",
            "-0.5e9",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\"0x1\"",
            " ",
            "\u{feff}",
            "true",
        ]);
        let text = prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes());
        prop_oneof![text, prop::collection::vec(any::<u8>(), 0..200)]
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in bodies()) {
            match Body::read(&body, 10) {
                Err(error) => prop_assert!([-32700, -32600].contains(&error.code)),
                Ok(Body::One(request)) => {
                    if let Err(error) = *request {
                        prop_assert_eq!(error.code, -32600);
                    }
                }
                Ok(Body::Many(requests)) => prop_assert!((1..=10).contains(&requests.len())),
            }
        }

        #[test]
        fn any_parameters_are_read_or_refused(text in "\\PC{0,80}") {
            let Ok(raw) = serde_json::value::to_raw_value(&[text]) else { return Ok(()) };
            let params = Params::read(Some(&raw)).unwrap();
            let codes = [
                params.get::<Address>(0).err(),
                params.get::<U256>(0).err(),
                params.get::<U64>(0).err(),
                params.get::<Bytes>(0).err(),
                params.get::<alloy_eips::BlockId>(0).err(),
            ];
            prop_assert!(codes.into_iter().flatten().all(|error| error.code == -32602));
            prop_assert_eq!(params.get::<u8>(1).unwrap_err().code, -32602);
        }

        #[test]
        fn an_answer_is_json_whatever_the_error_says(message in any::<String>(), code in any::<i64>()) {
            let written = answer(None, &Err(RpcError::new(code, message)));
            let read: serde_json::Value = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(read["error"]["code"].as_i64(), Some(code));
        }

        #[test]
        fn any_bytes_are_a_transaction_or_refused(kind in 0_u8..6, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = PoolTransaction::decode(&bytes);
            let typed = [&[kind][..], &bytes].concat();
            let _ = PoolTransaction::decode(&typed);
        }

        #[test]
        fn any_bytes_are_a_block_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = interlace_stf::decode_block(&bytes);
            let listed = [&[0xf9, 2, 0][..], &bytes].concat();
            let _ = interlace_stf::decode_block(&listed);
        }
    }
}
