//! Lines that contracts under development write with console.log: which there are, what they say, and who hears of them.
//!
//! Nothing is recorded while a transaction runs. Its outcome tells whether the console's address was looked at; only then is it executed
//! once more, watched.
//!
//! Invariant: lines come in the order of execution, those before a revert included; bytes that are no line of console.sol are shown as hex,
//! never dropped. Bounds: [`MAX_LINES`] wait for a listener that is slow, and the recorder keeps 1,024 of a transaction.
//! Source: hardhat's console.sol (signatures, of which some name `uint` and `int` where the ABI says `uint256` and `int256`); util.format of
//! Node.js (`%s`, `%d`, `%i`, `%o`, `%x`, `%%`; what is left over follows, separated by spaces).
//! What it does not do: `%e` and other widths of forge-std.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{B256, Bytes, hex, keccak256};
use interlace_chain::{Event, StoredBlock};
use interlace_stf::trace::{Place, Trace, Tracer};
use interlace_stf::{BlockEnv, CallOptions, Overlay, TxRequest, prepare};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::state::At;
use crate::trace::{Budget, MAX_TRACE_TIME, Run};
use crate::wire::{Params, Reply, reply};

/// Messages that wait for a listener; one that is slower misses the oldest.
pub(crate) const MAX_LINES: usize = 1_024;

pub(crate) const METHODS: &[(&str, Method)] = &[("dev_consoleLines", console_lines)];

/// The lines of one execution.
pub(crate) type Lines = Arc<[String]>;

/// Hears of lines as they are written: by calls, and by transactions once their block is committed.
#[derive(Debug)]
pub struct ConsoleListener {
    rpc: Arc<Rpc>,
    events: Receiver<Event>,
    calls: Receiver<Lines>,
    dropped: u64,
}

impl ConsoleListener {
    /// Listens from now on.
    #[must_use]
    pub fn new(rpc: Arc<Rpc>) -> Self {
        let (events, calls) = (rpc.chain().subscribe(), rpc.console.subscribe());
        Self { rpc, events, calls, dropped: 0 }
    }

    /// The next lines; `None` when the chain is gone. It may be dropped while it waits: nothing is lost then.
    pub async fn next(&mut self) -> Option<Vec<String>> {
        loop {
            let heard = tokio::select! {
                event = self.events.recv() => event.map(|event| match event {
                    // A block that was taken back meanwhile cannot be executed again.
                    Event::Block(block) => self.rpc.console_of(&block).unwrap_or_default(),
                    _ => Vec::new(),
                }.into_iter().flat_map(|(_, lines)| lines).collect()),
                lines = self.calls.recv() => lines.map(|lines| lines.to_vec()),
            };
            match heard {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Some(lines),
                Err(RecvError::Lagged(missed)) => self.dropped += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Blocks and calls that were missed because the listener was too slow.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Types of a line's values by the selector of its function.
static SIGNATURES: LazyLock<HashMap<[u8; 4], Vec<DynSolType>>> = LazyLock::new(signatures);

fn signatures() -> HashMap<[u8; 4], Vec<DynSolType>> {
    let mut known = HashMap::new();
    let mut add = |name: &str, types: &[DynSolType], shown: &[String]| {
        let signature = format!("{name}({})", shown.join(","));
        let hash = keccak256(signature);
        known.insert([hash[0], hash[1], hash[2], hash[3]], types.to_vec());
    };
    let kinds = [DynSolType::Uint(256), DynSolType::String, DynSolType::Bool, DynSolType::Address];
    let mut lists: Vec<Vec<DynSolType>> = vec![Vec::new()];
    for length in 0..=4 {
        for list in lists.iter().filter(|list| list.len() == length) {
            let names: Vec<String> = list.iter().map(DynSolType::to_string).collect();
            add("log", list, &names);
            let short: Vec<String> = names.iter().map(|name| name.replace("uint256", "uint")).collect();
            add("log", list, &short);
        }
        let longer: Vec<Vec<DynSolType>> = lists
            .iter()
            .filter(|list| list.len() == length && length < 4)
            .flat_map(|list| kinds.iter().map(|kind| [list.as_slice(), core::slice::from_ref(kind)].concat()))
            .collect();
        lists.extend(longer);
    }
    for (name, kind, shown) in [
        ("log", DynSolType::Int(256), "int256"),
        ("log", DynSolType::Int(256), "int"),
        ("logInt", DynSolType::Int(256), "int256"),
        ("logInt", DynSolType::Int(256), "int"),
        ("logUint", DynSolType::Uint(256), "uint256"),
        ("logUint", DynSolType::Uint(256), "uint"),
        ("logString", DynSolType::String, "string"),
        ("logBool", DynSolType::Bool, "bool"),
        ("logAddress", DynSolType::Address, "address"),
        ("log", DynSolType::Bytes, "bytes"),
        ("logBytes", DynSolType::Bytes, "bytes"),
    ] {
        add(name, &[kind], &[shown.to_owned()]);
    }
    for width in 1..=32 {
        let shown = format!("bytes{width}");
        add(&format!("logBytes{width}"), &[DynSolType::FixedBytes(width)], core::slice::from_ref(&shown));
        add("log", &[DynSolType::FixedBytes(width)], &[shown]);
    }
    known
}

/// What a call to the console says.
fn line(input: &[u8]) -> String {
    decode(input).unwrap_or_else(|| hex::encode_prefixed(input))
}

fn decode(input: &[u8]) -> Option<String> {
    let (selector, arguments) = input.split_first_chunk::<4>()?;
    let types = SIGNATURES.get(selector)?;
    let values = DynSolType::Tuple(types.clone()).abi_decode_params(arguments).ok()?;
    let DynSolValue::Tuple(values) = values else { return None };
    Some(format_line(&values))
}

fn plain(value: &DynSolValue) -> String {
    match value {
        DynSolValue::String(text) => text.clone(),
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Uint(value, _) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        DynSolValue::FixedBytes(word, width) => hex::encode_prefixed(&word[..*width]),
        DynSolValue::Bytes(bytes) => hex::encode_prefixed(bytes),
        other => format!("{other:?}"),
    }
}

fn in_hex(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Uint(value, _) => format!("{value:#x}"),
        DynSolValue::Int(value, _) => format!("{:#x}", value.into_raw()),
        DynSolValue::String(text) => hex::encode_prefixed(text),
        other => plain(other),
    }
}

/// Puts values into the first one's placeholders, as Node.js does; those that are left follow it.
fn format_line(values: &[DynSolValue]) -> String {
    let mut rest = values.iter();
    let mut text = String::new();
    if let [DynSolValue::String(template), _, ..] = values {
        rest.next();
        let mut letters = template.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            match letters.peek() {
                Some('%') => {
                    letters.next();
                    text.push('%');
                }
                Some('s' | 'd' | 'i' | 'o') if rest.len() > 0 => {
                    letters.next();
                    text.extend(rest.next().map(plain));
                }
                Some('x') if rest.len() > 0 => {
                    letters.next();
                    text.extend(rest.next().map(in_hex));
                }
                _ => text.push('%'),
            }
        }
        for value in rest {
            text.push(' ');
            text.push_str(&plain(value));
        }
        return text;
    }
    rest.map(plain).collect::<Vec<_>>().join(" ")
}

fn lines(trace: Trace) -> Vec<String> {
    match trace {
        Trace::Console(inputs) => inputs.iter().map(|input: &Bytes| line(input)).collect(),
        _ => Vec::new(),
    }
}

impl Rpc {
    /// What the transactions of `block` wrote, each with its hash; empty, and free, if none did.
    ///
    /// # Errors
    /// When the block cannot be executed again, or takes too long.
    pub fn console_of(&self, block: &Arc<StoredBlock>) -> Result<Vec<(B256, Vec<String>)>, RpcError> {
        let Some(last) = block.receipts.iter().rposition(|receipt| receipt.console) else { return Ok(Vec::new()) };
        let budget = Budget::new(MAX_TRACE_TIME);
        let mut run = Run::of(self, Arc::clone(block), 0)?;
        let mut found = Vec::new();
        for receipt in block.receipts.iter().take(last + 1) {
            let Some(next) = run.peek() else { break };
            if receipt.console {
                let written = lines(run.trace(&next, &Tracer::Console, &budget)?.trace);
                found.extend(next.place.tx_hash.map(|hash| (hash, written)));
            } else {
                run.execute(&next)?;
            }
        }
        Ok(found)
    }

    /// Tells listeners what a call on `at` wrote. A call that cannot be executed again is not told of.
    pub(crate) fn tell_console(&self, env: &BlockEnv, tx: &TxRequest, options: &CallOptions, at: &At) {
        if self.console.receiver_count() == 0 {
            return;
        }
        let mut overlay = Overlay::new(at.state.view().clone());
        if let Some(pending) = at.state.pending() {
            overlay.apply(pending.clone());
        }
        let Ok(mut vm) = prepare(env.clone(), tx, options, overlay) else { return };
        let limits = Budget::new(self.limits().call_timeout()).limits();
        if let Ok(traced) = vm.inspect(tx, &Tracer::Console, Place::default(), limits) {
            let written = lines(traced.trace);
            if !written.is_empty() {
                // Nobody listens any more: then nobody misses it.
                let _ = self.console.send(written.into());
            }
        }
    }
}

/// `dev_consoleLines`: what a transaction wrote; `null` for one that is in no block.
fn console_lines(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let Some((block, _)) = rpc.chain().transaction(&hash) else { return reply(&serde_json::Value::Null) };
    let found = rpc.console_of(&block)?.into_iter().find(|(of, _)| *of == hash);
    reply(&found.map(|(_, lines)| lines).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::{Address, I256, U256};

    use super::*;

    fn call(signature: &str, values: &[DynSolValue]) -> String {
        let mut input = keccak256(signature)[..4].to_vec();
        input.extend(DynSolValue::Tuple(values.to_vec()).abi_encode_params());
        line(&input)
    }

    fn text(text: &str) -> DynSolValue {
        DynSolValue::String(text.into())
    }

    fn number(value: u64) -> DynSolValue {
        DynSolValue::Uint(U256::from(value), 256)
    }

    #[test]
    fn selectors_are_those_of_the_contracts() {
        // Published in hardhat's and forge-std's sources: log(string), log(uint256), log(uint), log(string,address).
        for selector in
            [[0x41, 0x30, 0x4f, 0xac], [0xf8, 0x2c, 0x50, 0xf1], [0xf5, 0xb1, 0xbb, 0xa9], [0x31, 0x9a, 0xf3, 0x33]]
        {
            assert!(SIGNATURES.contains_key(&selector), "{selector:02x?}");
        }
        // 341 lists of which 256 - 81 and so on name a number, once more with `uint`; and the functions for one value.
        let twice: usize = (1..=4).map(|n| 4usize.pow(n) - 3usize.pow(n)).sum();
        let once: usize = (0..=4).map(|n| 4usize.pow(n)).sum();
        assert_eq!(SIGNATURES.len(), once + twice + 11 + 64);
    }

    #[test]
    fn values_stand_where_the_text_wants_them() {
        assert_eq!(call("log(string,uint256)", &[text("a %s b"), number(7)]), "a 7 b");
        assert_eq!(call("log(string,uint)", &[text("a"), number(7)]), "a 7");
        assert_eq!(call("log(string,uint256)", &[text("%x %% %s"), number(255)]), "0xff % %s");
        assert_eq!(call("log(string)", &[text("100%s")]), "100%s");
        assert_eq!(call("log(uint256,string)", &[number(1), text("%s")]), "1 %s");
        assert_eq!(
            call("log(bool,address)", &[DynSolValue::Bool(true), DynSolValue::Address(Address::ZERO)]),
            "true 0x0000000000000000000000000000000000000000"
        );
        assert_eq!(call("logInt(int256)", &[DynSolValue::Int(I256::MINUS_ONE, 256)]), "-1");
        assert_eq!(call("logBytes(bytes)", &[DynSolValue::Bytes(vec![1, 2])]), "0x0102");
        let word = DynSolValue::FixedBytes(B256::repeat_byte(0xab), 3);
        assert_eq!(call("logBytes3(bytes3)", &[word]), "0xababab");
        assert_eq!(call("log()", &[]), "");
    }

    #[test]
    fn what_is_no_line_is_shown_as_it_is() {
        assert_eq!(line(&[]), "0x");
        assert_eq!(line(&[1, 2, 3]), "0x010203");
        assert_eq!(line(&[1, 2, 3, 4, 5]), "0x0102030405");
        // log(string) with a length that is not there.
        let mut short = vec![0x41, 0x30, 0x4f, 0xac];
        short.extend([0xff; 64]);
        assert_eq!(line(&short), hex::encode_prefixed(&short));
    }
}
