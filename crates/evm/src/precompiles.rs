//! Precompiled contracts, and what a caller puts in their places.
//!
//! Invariant: without moves everything is the fork's own. A moved contract runs at its new address and costs there what it costs at its own; an
//! address from which one was taken is an ordinary account. The addresses that are warm from the start are the fork's own all the same, as in geth.
//! Source: execution-apis, `movePrecompileToAddress` of eth_call's and eth_simulateV1's state overrides.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use alloy_primitives::Address;
use interlace_primitives::Fork;
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::primitives::AddressSet;
use revm::primitives::hardfork::SpecId;

use crate::ai::{self, Programs};
use crate::env::spec_id;

/// What runs at an address instead of what the fork has there: another address's contract, or none.
pub type PrecompileMoves = BTreeMap<Address, Option<Address>>;

/// Addresses of the precompiled contracts of `fork`, and of Interlace's where `ada` is in force, ascending.
#[must_use]
pub fn precompile_addresses(fork: Fork, ada: bool) -> Vec<Address> {
    let mut addresses: Vec<Address> = Precompiled::new(fork, ada, Programs::default()).warm.iter().copied().collect();
    addresses.sort_unstable();
    addresses
}

/// What stands in the machine for the precompiled contracts.
#[derive(Debug)]
pub(crate) struct Precompiled {
    own: EthPrecompiles,
    moves: PrecompileMoves,
    /// Whether there are Interlace's besides.
    ada: bool,
    programs: Programs,
    warm: AddressSet,
}

impl Precompiled {
    pub(crate) fn new(fork: Fork, ada: bool, programs: Programs) -> Self {
        let own = EthPrecompiles::new(spec_id(fork));
        let mut warm = own.warm_addresses().clone();
        warm.extend(ada.then_some(ai::INSTRUCTIONS).into_iter().flatten());
        Self { own, moves: PrecompileMoves::new(), ada, programs, warm }
    }

    fn execute<CTX: ContextTr<Cfg: Cfg<Spec: Into<SpecId> + Clone>>>(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        let own = if self.ada { ai::run(context, inputs, &self.programs) } else { None };
        own.map_or_else(|| self.own.run(context, inputs), |result| Ok(Some(result)))
    }

    pub(crate) fn set_moves(&mut self, moves: PrecompileMoves) {
        self.moves = moves;
    }
}

impl<CTX: ContextTr<Cfg: Cfg<Spec: Into<SpecId> + Clone>>> PrecompileProvider<CTX> for Precompiled {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <CTX::Cfg as Cfg>::Spec) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.own, spec)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        match self.moves.get(&inputs.bytecode_address) {
            None => self.execute(context, inputs),
            Some(None) => Ok(None),
            Some(Some(origin)) => {
                let inputs = CallInputs { bytecode_address: *origin, ..inputs.clone() };
                self.execute(context, &inputs)
            }
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }
}
