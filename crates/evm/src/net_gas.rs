//! SSTORE's net gas metering as Constantinople had it for a while, before Petersburg took it back.
//!
//! Invariant: used under Constantinople alone; prices and refunds are those of EIP-1283 and nothing else changes.
//! Source: EIP-1283. EIP-2200 (Istanbul) is the same rule with a price of 800 for a load and a check of the stipend, so
//! revm's accounting for Istanbul serves with other numbers.
//! What it does not do: revm itself no longer knows this version; every other rule comes from its Petersburg.

use revm::context_interface::cfg::GasParams;
use revm::context_interface::cfg::gas_params::GasId;
use revm::interpreter::instructions::host::sstore_with_gas_accounting;
use revm::interpreter::interpreter_types::InterpreterTypes;
use revm::interpreter::{Host, InstructionContext, InstructionExecResult, InstructionResult};
use revm::primitives::hardfork::SpecId;

/// Price of a load, and of a store that changes nothing or changes a slot again.
const LOAD_GAS: u64 = 200;
/// What the first change of a slot that was zero costs on top.
const SET_GAS: u64 = 20_000 - LOAD_GAS;
/// What the first change of another slot costs on top.
const RESET_GAS: u64 = 5_000 - LOAD_GAS;

/// Petersburg's prices with those of EIP-1283.
pub(crate) fn gas_params() -> GasParams {
    let mut params = GasParams::new_spec(SpecId::PETERSBURG);
    params.override_gas([
        (GasId::sstore_static(), LOAD_GAS),
        (GasId::sstore_set_without_load_cost(), SET_GAS),
        (GasId::sstore_reset_without_cold_load_cost(), RESET_GAS),
        (GasId::sstore_set_refund(), SET_GAS),
        (GasId::sstore_reset_refund(), RESET_GAS),
    ]);
    params
}

/// SSTORE with the value before the transaction taken into account.
pub(crate) fn sstore<W: InterpreterTypes, H: Host + ?Sized>(
    context: InstructionContext<'_, H, W>,
) -> InstructionExecResult {
    sstore_with_gas_accounting(context, |context, _, load| {
        let params = context.host.gas_params();
        let (cost, refund) =
            (params.sstore_dynamic_gas(true, &load.data, false), params.sstore_refund(true, &load.data));
        if !context.interpreter.gas.record_regular_cost(cost) {
            return Err(InstructionResult::OutOfGas);
        }
        context.interpreter.gas.record_refund(refund);
        Ok(())
    })
}
