//! What a debugger asks for: which tracer, with what, on which state, for how long.
//!
//! Invariant: options that are read are either heeded or refused.
//! Source: geth eth/tracers/api.go (`TraceConfig`, `TraceCallConfig`). As there, unknown fields are skipped, an empty tracer's name is none,
//! a trace takes five seconds unless `timeout` says otherwise, and `reexec` says nothing: every state is at hand.
//! Bounds: a `timeout` above a minute counts as a minute.

use std::time::Duration;

use alloy_primitives::U64;
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::StateOverride;
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::trace::{GethTracer, StepOptions, Tracer};
use interlace_stf::{Header, Vm};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::RpcError;
use crate::trace::run::{Budget, MAX_TRACE_TIME};
use interlace_state::Snapshot;

/// Time of one trace when nothing else is said.
const DEFAULT_TIME: Duration = Duration::from_secs(5);

/// Options as they come.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Options {
    enable_memory: Option<bool>,
    disable_stack: Option<bool>,
    disable_storage: Option<bool>,
    enable_return_data: Option<bool>,
    limit: Option<usize>,
    tracer: Option<String>,
    timeout: Option<String>,
    tracer_config: Value,
    overrides: Option<Map<String, Value>>,
    /// For calls: accounts seen differently.
    pub(crate) state_overrides: Option<StateOverride>,
    /// For calls: the block seen differently.
    pub(crate) block_overrides: Option<BlockOverrides>,
    /// For calls: how many transactions of the block come before.
    pub(crate) tx_index: Option<U64>,
}

impl Options {
    /// The tracer.
    ///
    /// # Errors
    /// -32000 for an unknown name or a configuration that is not the tracer's.
    pub(crate) fn tracer(&self) -> Result<Tracer, RpcError> {
        match self.tracer.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => {
                Ok(Tracer::Geth(GethTracer::new(name, self.tracer_config.clone()).map_err(RpcError::refused)?))
            }
            None => Ok(Tracer::Steps(StepOptions {
                enable_memory: self.enable_memory.unwrap_or(false),
                disable_stack: self.disable_stack.unwrap_or(false),
                disable_storage: self.disable_storage.unwrap_or(false),
                enable_return_data: self.enable_return_data.unwrap_or(false),
                limit: self.limit.unwrap_or(0),
            })),
        }
    }

    /// Time and bytes.
    ///
    /// # Errors
    /// -32000 for a `timeout` that is no duration.
    pub(crate) fn budget(&self) -> Result<Budget, RpcError> {
        let each = match &self.timeout {
            Some(text) => duration(text).ok_or_else(|| {
                RpcError::refused(format!("time: invalid duration {:?}", text.chars().take(40).collect::<String>()))
            })?,
            None => DEFAULT_TIME,
        };
        Ok(Budget::new(each.min(MAX_TRACE_TIME)))
    }

    /// The fork that `overrides` put in force for the block `header`; `None` when they say nothing.
    ///
    /// # Errors
    /// -32602 for a field that is no fork's, or not a number.
    pub(crate) fn fork(&self, spec: &ChainSpec, header: &Header) -> Result<Option<Fork>, RpcError> {
        let Some(given) = self.overrides.as_ref().filter(|given| !given.is_empty()) else { return Ok(None) };
        let mut active: Vec<Fork> =
            Fork::ALL.into_iter().filter(|fork| spec.is_active(*fork, header.number, header.timestamp)).collect();
        for (field, at) in given {
            let (fork, by_time) = fork_field(field)
                .ok_or_else(|| RpcError::invalid_params(format!("overrides: {field:?} names no fork")))?;
            active.retain(|known| *known != fork);
            if at.is_null() {
                continue;
            }
            let at = at.as_u64().ok_or_else(|| RpcError::invalid_params(format!("overrides: {field} is no number")))?;
            if at <= if by_time { header.timestamp } else { header.number } {
                active.push(fork);
            }
        }
        Ok(active.into_iter().max())
    }

    /// The machine `vm` under the rules of `fork`.
    pub(crate) fn under(fork: Option<Fork>, vm: Vm<Snapshot>, checks: interlace_stf::Checks) -> Vm<Snapshot> {
        let Some(fork) = fork else { return vm };
        let mut env = vm.env().clone();
        env.fork = fork;
        if fork >= Fork::Cancun {
            env.blob_fee_wei = Some(env.blob_fee_wei.unwrap_or(1));
        }
        Vm::new(env, checks, vm.into_overlay())
    }
}

/// The fork that a field of a genesis file's configuration puts in force, and whether it does so by time.
fn fork_field(field: &str) -> Option<(Fork, bool)> {
    let (name, by_time) = match field.strip_suffix("Time") {
        Some(name) => (name, true),
        None => (field.strip_suffix("Block")?, false),
    };
    let name = match name {
        "eip150" => "tangerinewhistle",
        "eip158" | "eip155" => "spuriousdragon",
        other => other,
    };
    let fork = Fork::ALL.into_iter().find(|fork| fork.name().eq_ignore_ascii_case(name))?;
    Some((fork, by_time))
}

/// A duration as Go writes it: numbers with units from ns to h, one after the other.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    if rest == "0" {
        return Some(sum);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        rest = &rest[end..];
        sum = sum.checked_add(Duration::try_from_secs_f64(value * seconds).ok()?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("5s", Some(ms(5_000))),
            ("1.5s", Some(ms(1_500))),
            ("1m30s", Some(ms(90_000))),
            ("250ms", Some(ms(250))),
            ("0", Some(ms(0))),
            ("1h", Some(ms(3_600_000))),
            ("", None),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("5 s", None),
            ("1e400s", None),
            ("..s", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn overrides_move_single_forks() {
        let spec = ChainSpec::dev(1, Fork::Cancun);
        let header = Header { number: 5, timestamp: 100, ..Header::default() };
        let fork = |overrides: &str| {
            let options: Options = serde_json::from_str(&format!("{{\"overrides\":{overrides}}}")).unwrap_or_default();
            options.fork(&spec, &header)
        };
        assert_eq!(fork("{}"), Ok(None));
        assert_eq!(fork("{\"pragueTime\":100}"), Ok(Some(Fork::Prague)));
        assert_eq!(fork("{\"pragueTime\":101}"), Ok(Some(Fork::Cancun)));
        assert_eq!(fork("{\"cancunTime\":null}"), Ok(Some(Fork::Shanghai)));
        assert!(fork("{\"gasLimit\":1}").is_err());
        assert!(fork("{\"pragueTime\":\"x\"}").is_err());
    }
}
