//! One call of a contract that computes, by each machine, for `interlace bench vm`.
//!
//! Invariant: every machine gives the same gas, output and logs; each begins with the same state, and with nothing warm but analysed and translated code,
//! from the second round on.
//! What it does not do: it takes no median; the caller repeats.

use alloy_consensus::Header;
use alloy_primitives::{Bytes, TxKind, U256};
use interlace_evm::{Plain, PlainOutcome};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{Account, BlockEnv, Checks, CodeTier, Overlay, TxRequest, Vm};

use super::blocks::{CHAIN_ID, World, numbered};
use super::{BenchError, timed};

/// Gas of the call at most: some minutes.
const GAS: u64 = 100_000_000_000;

/// Seconds that each machine took.
#[derive(Clone, Copy, Debug)]
pub struct KernelRound {
    /// revm alone.
    pub plain: f64,
    /// The engine's, with revm's interpreter.
    pub engine: f64,
    /// The engine's, with translated code.
    pub analysed: f64,
}

/// A contract and a call of it.
#[derive(Debug)]
pub struct BenchKernel {
    world: World,
    code: Bytes,
    env: BlockEnv,
    call: TxRequest,
    expected: PlainOutcome,
}

impl BenchKernel {
    /// A call of a contract with this code and input.
    ///
    /// # Errors
    /// [`BenchError::Differs`] if it does not succeed.
    pub fn new(code: Bytes, input: Bytes) -> Result<Self, BenchError> {
        let (caller, contract) = (numbered(0xaa, 0), numbered(0xcc, 0));
        let mut world = World::default();
        world.contract(contract, code.clone());
        world.put(caller, Account::with_balance(U256::from(10).pow(U256::from(24))));
        let header = Header {
            number: 1,
            timestamp: 12,
            gas_limit: GAS,
            base_fee_per_gas: Some(1),
            excess_blob_gas: Some(0),
            ..Header::default()
        };
        let env = BlockEnv::from_header(&ChainSpec::dev(CHAIN_ID, Fork::Prague), &header);
        let call = TxRequest {
            from: caller,
            to: TxKind::Call(contract),
            gas_limit: GAS,
            fee_cap_wei: 1,
            chain_id: Some(CHAIN_ID),
            input,
            ..TxRequest::default()
        };
        let expected = PlainOutcome { success: false, gas_used: 0, logs: Vec::new(), output: Bytes::new() };
        let mut made = Self { world, code, env, call, expected };
        made.expected = made.plain()?.0;
        if !made.expected.success {
            return Err(BenchError::Differs(format!("the call fails with {}", made.expected.output)));
        }
        Ok(made)
    }

    /// Gas of the call.
    #[must_use]
    pub const fn gas(&self) -> u64 {
        self.expected.gas_used
    }

    /// What the call returns.
    #[must_use]
    pub const fn output(&self) -> &Bytes {
        &self.expected.output
    }

    /// Makes the call on each machine.
    ///
    /// # Errors
    /// [`BenchError::Differs`].
    pub fn round(&self) -> Result<KernelRound, BenchError> {
        let plain = self.call(None)?;
        let engine = self.call(Some(CodeTier::Plain))?;
        Ok(KernelRound { plain, engine, analysed: self.call(Some(CodeTier::Analysed))? })
    }

    /// Makes the call on one machine, and gives its seconds: the engine's with `tier`, or revm alone without one.
    ///
    /// # Errors
    /// [`BenchError::Differs`].
    pub fn call(&self, tier: Option<CodeTier>) -> Result<f64, BenchError> {
        let (outcome, seconds) = tier.map_or_else(|| self.plain(), |tier| self.engine(tier))?;
        if outcome == self.expected {
            Ok(seconds)
        } else {
            Err(BenchError::Differs("two machines give different outcomes".to_owned()))
        }
    }

    fn plain(&self) -> Result<(PlainOutcome, f64), BenchError> {
        let mut plain = Plain::new(&self.env);
        for (address, account, slots) in self.world.accounts() {
            let code = if account.nonce == 1 { self.code.clone() } else { Bytes::new() };
            plain.insert(address, &account, code, slots.into_iter());
        }
        let (outcome, seconds) = timed(|| plain.execute(&self.call));
        Ok((outcome.map_err(BenchError::Differs)?, seconds))
    }

    fn engine(&self, tier: CodeTier) -> Result<(PlainOutcome, f64), BenchError> {
        self.world.execute_by(tier);
        let mut vm = Vm::new(self.env.clone(), Checks::TRANSACTION, Overlay::new(&self.world));
        let (outcome, seconds) = timed(|| vm.execute(&self.call));
        let outcome = outcome.map_err(|error| BenchError::Differs(error.to_string()))?;
        let success = outcome.is_success();
        let same = PlainOutcome { success, gas_used: outcome.gas_used, logs: outcome.logs, output: outcome.output };
        Ok((same, seconds))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn machines_agree_or_it_is_said() {
        // Returns the word that it is given, twice.
        let doubles = hex!("5f358001" "5f52" "60205ff3");
        let kernel = BenchKernel::new(doubles.to_vec().into(), U256::from(21).to_be_bytes_vec().into()).unwrap();
        assert_eq!(U256::from_be_slice(kernel.output()), U256::from(42));
        assert!(kernel.gas() > 21_000);
        let KernelRound { plain, engine, analysed } = kernel.round().unwrap();
        assert!(plain > 0.0 && engine > 0.0 && analysed > 0.0);
    }

    #[test]
    fn a_call_that_fails_is_not_measured() {
        let error = BenchKernel::new(hex!("5f5ffd").to_vec().into(), Bytes::new()).unwrap_err();
        assert_eq!(error.code(), "engine.bench-differs");
        assert!(error.to_string().contains("the call fails"), "{error}");
    }
}
