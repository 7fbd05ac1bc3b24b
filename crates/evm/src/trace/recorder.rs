//! The recorder in the machine: passes revm's hooks on to whoever records, and stops what grows too large.
//!
//! Invariant: it changes nothing of the execution but its end: when a limit is exceeded, the execution fails as a whole.

use alloc::boxed::Box;
use alloc::string::String;
use std::time::Instant;

use alloy_primitives::map::HashSet;
use alloy_primitives::{Address, Log, U256};
use alloy_rpc_types_trace::parity::TraceType;
use revm::Inspector;
use revm::context::{ContextError, ContextTr, LocalContextTr};
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::LoopControl;
use revm::interpreter::{CallInput, CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter};
use revm_inspectors::otterscan::InternalOperationsInspector;
use revm_inspectors::tracing::{
    DebugInspector, TraceLimitBehavior, TraceLimits, TracingInspector, TracingInspectorConfig,
};

use super::console::Console;
use super::steps::Steps;
use super::transfers::Transfers;
use super::{Limits, Tracer};
use crate::outcome::CONSOLE_ADDRESS;

/// Instructions between two looks at the clock.
const CLOCK_PERIOD: u64 = 4_096;

/// Why a recording was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Deadline,
    Bytes,
    Steps,
    Frames,
}

/// Who records.
#[derive(Debug, Default)]
pub(crate) enum Kind {
    #[default]
    None,
    Steps(Box<Steps>),
    Geth(Box<DebugInspector>),
    Parity(Box<TracingInspector>, HashSet<TraceType>),
    Operations(Box<InternalOperationsInspector>),
    Logs(Transfers),
    Console(Console),
}

/// What stands in the machine's place for an inspector.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) kind: Kind,
    pub(crate) stopped: Option<Stop>,
    deadline: Option<Instant>,
    max_bytes: usize,
    max_steps: u64,
    frames_left: u64,
    steps: u64,
    input_bytes: usize,
}

impl Recorder {
    pub(crate) fn new(tracer: &Tracer, limits: Limits) -> Result<Self, String> {
        let halt = TraceLimits::default()
            .set_max_recorded_bytes(Some(limits.max_bytes))
            .set_behavior(TraceLimitBehavior::Halt);
        let mut max_steps = u64::MAX;
        let kind = match tracer {
            Tracer::Steps(options) => Kind::Steps(Box::new(Steps::new(*options, limits.max_bytes))),
            Tracer::Geth(tracer) => Kind::Geth(Box::new(tracer.start()?)),
            Tracer::Parity(wanted) => {
                if wanted.contains(&TraceType::VmTrace) {
                    max_steps = limits.max_steps;
                }
                let config = TracingInspectorConfig::from_parity_config(wanted);
                Kind::Parity(Box::new(TracingInspector::new(config).with_limits(halt)), wanted.clone())
            }
            Tracer::Operations => Kind::Operations(Box::default()),
            Tracer::Logs { transfers } => Kind::Logs(Transfers::new(*transfers)),
            Tracer::Console => Kind::Console(Console::default()),
        };
        Ok(Self {
            kind,
            deadline: limits.deadline,
            max_bytes: limits.max_bytes,
            max_steps,
            frames_left: limits.max_frames,
            ..Self::default()
        })
    }

    /// Notes that the recording ends here; the context's error makes the execution fail.
    #[cold]
    fn stop<CTX: ContextTr>(&mut self, context: &mut CTX, why: Stop) {
        if self.stopped.is_none() {
            self.stopped = Some(why);
        }
        if context.error().is_ok() {
            *context.error() = Err(ContextError::Custom("recording stopped".into()));
        }
    }

    fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// A frame begins, with so many bytes of input.
    fn enter<CTX: ContextTr>(&mut self, context: &mut CTX, input_bytes: usize) {
        // Inputs are copied by most recorders, and the same memory may be passed on again and again.
        self.input_bytes = self.input_bytes.saturating_add(input_bytes);
        let copies = !matches!(self.kind, Kind::Steps(_) | Kind::Operations(_) | Kind::Console(_));
        match self.frames_left.checked_sub(1) {
            None => return self.stop(context, Stop::Frames),
            Some(left) => self.frames_left = left,
        }
        if copies && self.input_bytes > self.max_bytes {
            self.stop(context, Stop::Bytes);
        } else if self.late() {
            self.stop(context, Stop::Deadline);
        }
    }
}

/// Runs `$body` with the one inspector of revm's that is active, if one is.
macro_rules! delegate {
    ($kind:expr, $inspector:ident => $body:expr, $none:expr) => {
        match &mut $kind {
            Kind::Geth($inspector) => $body,
            Kind::Parity($inspector, _) => $body,
            Kind::Operations($inspector) => $body,
            _ => $none,
        }
    };
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX> for Recorder {
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if self.stopped.is_some() {
            // A frame that was begun nevertheless executes nothing.
            interp.halt_fatal();
            return;
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::initialize_interp(&mut **inspector, interp, context), ());
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.steps += 1;
        if self.steps > self.max_steps {
            self.stop(context, Stop::Steps);
        } else if self.steps.is_multiple_of(CLOCK_PERIOD) && self.late() {
            self.stop(context, Stop::Deadline);
        }
        if let Kind::Steps(steps) = &mut self.kind {
            if steps.is_full() {
                self.stop(context, Stop::Bytes);
            } else {
                steps.before(interp);
            }
        }
        if self.stopped.is_some() {
            interp.bytecode.action().take();
            interp.bytecode.reset_action();
            interp.halt_fatal();
            return;
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::step(&mut **inspector, interp, context), ());
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if let Kind::Steps(steps) = &mut self.kind {
            steps.after(interp, context);
            return;
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::step_end(&mut **inspector, interp, context), ());
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        if let Kind::Logs(transfers) = &mut self.kind {
            transfers.log(log);
            return;
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::log(&mut **inspector, context, log), ());
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.enter(context, inputs.input.len());
        match &mut self.kind {
            Kind::Steps(steps) => steps.enter(inputs.target_address),
            Kind::Logs(transfers) => {
                transfers.enter();
                if let Some(value) = inputs.transfer_value() {
                    // A CALLCODE moves nothing, yet is listed with the address of the code.
                    let to = if inputs.scheme == CallScheme::CallCode {
                        inputs.bytecode_address
                    } else {
                        inputs.target_address
                    };
                    transfers.transfer(inputs.caller, to, value);
                }
            }
            Kind::Console(console) if inputs.target_address == CONSOLE_ADDRESS => match &inputs.input {
                CallInput::SharedBuffer(range) => {
                    if let Some(input) = context.local().shared_memory_buffer_slice(range.clone()) {
                        console.write(&input);
                    }
                }
                CallInput::Bytes(bytes) => console.write(bytes),
            },
            _ => {}
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::call(&mut **inspector, context, inputs), None)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        match &mut self.kind {
            Kind::Steps(steps) => steps.exit(),
            Kind::Logs(transfers) => transfers.exit(outcome.result.result.is_ok()),
            _ => {}
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::call_end(&mut **inspector, context, inputs, outcome), ());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.enter(context, inputs.init_code().len());
        let created = match &self.kind {
            Kind::Steps(_) | Kind::Logs(_) => {
                use revm::context::JournalTr;
                let nonce = context.journal_mut().load_account(inputs.caller()).map(|account| account.info.nonce);
                inputs.created_address(nonce.unwrap_or_default())
            }
            _ => Address::ZERO,
        };
        match &mut self.kind {
            Kind::Steps(steps) => steps.enter(created),
            Kind::Logs(transfers) => {
                transfers.enter();
                transfers.transfer(inputs.caller(), created, inputs.value());
            }
            _ => {}
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::create(&mut **inspector, context, inputs), None)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        match &mut self.kind {
            Kind::Steps(steps) => steps.exit(),
            Kind::Logs(transfers) => transfers.exit(outcome.result.result.is_ok()),
            _ => {}
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::create_end(&mut **inspector, context, inputs, outcome), ());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        if let Kind::Logs(transfers) = &mut self.kind {
            transfers.transfer(contract, target, value);
            return;
        }
        delegate!(self.kind, inspector => Inspector::<CTX>::selfdestruct(&mut **inspector, contract, target, value), ());
    }
}
