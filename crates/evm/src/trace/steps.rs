//! Every instruction as one line of JSON, as geth's logger without a name writes it.
//!
//! A line is begun before the instruction, from what it finds, and finished after it, when its cost is known. JSON is written at once,
//! so that a recording is bounded by what it answers with and not by a structure several times that size.
//!
//! Invariant: the text stays below its limit but for one line; beyond it the execution is stopped by the recorder.
//! Source: geth eth/tracers/logger/logger.go. `limit` counts bytes of lines, and more are dropped silently, as there. An instruction that fails
//! while its price is found has an `error`; one that fails in its work has none. `gasCost` of a creation excludes what it passes on.
//! What it does not do: when gas runs out, `gasCost` is what was charged until then; geth shows what would have been charged.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use revm::bytecode::opcode::{self, OpCode};
use revm::context::ContextTr;
use revm::context_interface::JournalTr;
use revm::context_interface::result::ExecutionResult;
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{Jumps, LoopControl, ReturnData};
use revm::interpreter::{FrameInput, InstructionResult, Interpreter, InterpreterAction};

/// What a line holds besides the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepOptions {
    /// Memory before the instruction.
    pub enable_memory: bool,
    /// No stack.
    pub disable_stack: bool,
    /// No storage.
    pub disable_storage: bool,
    /// What the last call returned.
    pub enable_return_data: bool,
    /// Bytes of lines after which no more are kept; zero keeps all.
    pub limit: usize,
}

/// A frame that is open.
#[derive(Debug)]
struct Frame {
    address: Address,
    refund: i64,
}

/// A line that is begun.
#[derive(Debug, Default)]
struct Begun {
    /// Where in the text the cost belongs, and everything after it.
    tail: String,
    opcode: u8,
    gas: u64,
    top: [Option<U256>; 2],
    stack_length: usize,
}

/// The recording.
#[derive(Debug)]
pub(crate) struct Steps {
    options: StepOptions,
    max_bytes: usize,
    text: String,
    frames: Vec<Frame>,
    /// Slots seen so far, by contract.
    storage: BTreeMap<Address, BTreeMap<B256, B256>>,
    begun: Option<Begun>,
}

impl Steps {
    pub(crate) fn new(options: StepOptions, max_bytes: usize) -> Self {
        Self { options, max_bytes, text: String::new(), frames: Vec::new(), storage: BTreeMap::new(), begun: None }
    }

    /// Whether the text has reached its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= self.max_bytes
    }

    pub(crate) fn enter(&mut self, address: Address) {
        self.frames.push(Frame { address, refund: 0 });
    }

    /// Leaves a frame; its caller's own counter has its refund when the caller goes on, if the call succeeded.
    pub(crate) fn exit(&mut self) {
        self.frames.pop();
    }

    /// Begins the line of the next instruction.
    pub(crate) fn before(&mut self, interp: &Interpreter) {
        self.begun = None;
        // The limit is looked at before a line, so that the line that crosses it is kept.
        if self.options.limit > 0 && self.text.len() > self.options.limit {
            return;
        }
        let depth = self.frames.len();
        if let Some(frame) = self.frames.last_mut() {
            frame.refund = interp.gas.refunded();
        }
        let op = interp.bytecode.opcode();
        let gas = interp.gas.remaining();
        let stack = interp.stack.data();
        let mut tail = String::new();
        // Writing to a string cannot fail.
        let _ = write!(tail, ",\"depth\":{depth}");
        let mut begun = Begun {
            opcode: op,
            gas,
            top: [stack.last().copied(), stack.len().checked_sub(2).map(|index| stack[index])],
            stack_length: stack.len(),
            tail: String::new(),
        };
        let mut body = String::new();
        if !self.options.disable_stack {
            body.push_str(",\"stack\":[");
            for (index, item) in stack.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(body, "{comma}\"{item:#x}\"");
            }
            body.push(']');
        }
        let returned = interp.return_data.buffer();
        if self.options.enable_return_data && !returned.is_empty() {
            let _ = write!(body, ",\"returnData\":\"{}\"", hex::encode_prefixed(returned));
        }
        if self.options.enable_memory {
            write_memory(&mut body, &interp.memory.context_memory());
        }
        let _ = write!(
            self.text,
            "{}{{\"pc\":{},\"op\":",
            if self.text.is_empty() { "" } else { "," },
            interp.bytecode.pc()
        );
        match OpCode::new(op) {
            Some(known) => {
                let _ = write!(self.text, "\"{}\"", name(known));
            }
            None => {
                let _ = write!(self.text, "\"opcode {op:#x} not defined\"");
            }
        }
        let _ = write!(self.text, ",\"gas\":{gas}");
        begun.tail = tail;
        // The error stands between depth and stack, and is not known yet.
        begun.tail.push('\u{0}');
        begun.tail.push_str(&body);
        self.begun = Some(begun);
    }

    /// Ends the line of the instruction that ran.
    pub(crate) fn after<CTX: ContextTr<Journal: JournalExt>>(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        let Some(begun) = self.begun.take() else { return };
        let action = interp.bytecode.action();
        let failure = action.as_ref().and_then(InterpreterAction::instruction_result);
        // What a creation passes on is charged by its work, not by its price.
        let passed_on = match action {
            Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => inputs.gas_limit(),
            _ => 0,
        };
        let cost = begun.gas.saturating_sub(interp.gas.remaining()).saturating_sub(passed_on);
        let _ = write!(self.text, ",\"gasCost\":{cost}");
        let (depth, body) = begun.tail.split_once('\u{0}').unwrap_or((&begun.tail, ""));
        self.text.push_str(depth);
        if let Some(error) = failure.and_then(|failure| price_error(failure, &begun)) {
            let _ = write!(self.text, ",\"error\":\"{error}\"");
        }
        self.text.push_str(body);
        if !self.options.disable_storage {
            self.note_storage(&begun, interp, context, failure);
        }
        let refund: i64 = self.frames.iter().map(|frame| frame.refund).sum();
        if refund > 0 {
            let _ = write!(self.text, ",\"refund\":{refund}");
        }
        self.text.push('}');
    }

    /// What the contract's storage holds as far as it was looked at or written, after an instruction on it.
    fn note_storage<CTX: ContextTr<Journal: JournalExt>>(
        &mut self,
        begun: &Begun,
        interp: &Interpreter,
        context: &CTX,
        failure: Option<InstructionResult>,
    ) {
        let Some(address) = self.frames.last().map(|frame| frame.address) else { return };
        let [key, below] = begun.top;
        let (key, value) = match (begun.opcode, key, below) {
            (opcode::SLOAD, Some(key), _) => {
                let known = || {
                    let account = context.journal_ref().evm_state().get(&address)?;
                    account.storage.get(&key).map(|slot| slot.present_value())
                };
                let read = if failure.is_none() { interp.stack.data().last().copied() } else { known() };
                let Some(value) = read else { return };
                (key, value)
            }
            (opcode::SSTORE, Some(key), Some(value)) => (key, value),
            _ => return,
        };
        let slots = self.storage.entry(address).or_default();
        slots.insert(key.into(), value.into());
        self.text.push_str(",\"storage\":{");
        for (index, (key, value)) in slots.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(self.text, "{comma}\"{key}\":\"{value}\"");
        }
        self.text.push('}');
    }

    /// The answer.
    pub(crate) fn finish(self, result: &ExecutionResult) -> String {
        // Revert data is returned, that of any other failure is not.
        let returned = match result {
            ExecutionResult::Halt { .. } => Bytes::new(),
            other => other.output().cloned().unwrap_or_default(),
        };
        alloc::format!(
            "{{\"gas\":{},\"failed\":{},\"returnValue\":\"{returned}\",\"structLogs\":[{}]}}",
            result.tx_gas_used(),
            !result.is_success(),
            self.text
        )
    }
}

/// geth's name of an instruction.
const fn name(op: OpCode) -> &'static str {
    op.as_str()
}

fn write_memory(out: &mut String, memory: &[u8]) {
    out.push_str(",\"memory\":[");
    for (index, chunk) in memory.chunks(32).enumerate() {
        let mut word = [0u8; 32];
        word[..chunk.len()].copy_from_slice(chunk);
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(out, "{comma}\"{}\"", hex::encode_prefixed(word));
    }
    out.push(']');
}

/// The error of an instruction that fails before its work: for lack of gas or of operands.
fn price_error(failure: InstructionResult, begun: &Begun) -> Option<String> {
    let op = OpCode::new(begun.opcode)?;
    match failure {
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::InvalidOperandOOG
        | InstructionResult::ReentrancySentryOOG => Some("out of gas".into()),
        InstructionResult::StackUnderflow => {
            Some(alloc::format!("stack underflow ({} <=> {})", begun.stack_length, op.inputs()))
        }
        InstructionResult::StackOverflow => {
            let limit = 1_024 + usize::from(op.inputs()) - usize::from(op.outputs());
            Some(alloc::format!("stack limit reached {} ({limit})", begun.stack_length))
        }
        _ => None,
    }
}
