//! geth's tracers that have a name, with their options read once.
//!
//! Invariant: a [`GethTracer`] that exists can be started.
//! Source: geth `eth/tracers/native`. What it does not do: `erc7562Tracer`, whose recording has no useful bound, and JavaScript.

use alloc::format;
use alloc::string::{String, ToString};

use alloy_rpc_types_trace::geth::{GethDebugTracerConfig, GethDebugTracerType, GethDebugTracingOptions};
use revm_inspectors::tracing::DebugInspector;
use serde_json::{Map, Value};

/// One of geth's tracers that have a name.
#[derive(Clone, Debug)]
pub struct GethTracer(GethDebugTracingOptions);

impl GethTracer {
    /// The tracer `name` with its `config`; `null` stands for the defaults.
    ///
    /// # Errors
    /// In words: an unknown name, or options that are none of its own.
    pub fn new(name: &str, config: Value) -> Result<Self, String> {
        let known = matches!(
            name,
            "4byteTracer" | "callTracer" | "flatCallTracer" | "muxTracer" | "noopTracer" | "prestateTracer"
        );
        if !known {
            let shown: String = name.chars().take(40).collect();
            return Err(format!("tracer not found: {shown}"));
        }
        let config = if name == "muxTracer" { mux(config)? } else { config };
        let tracer: GethDebugTracerType =
            serde_json::from_value(Value::String(name.to_string())).map_err(|error| error.to_string())?;
        let options = GethDebugTracingOptions {
            tracer: Some(tracer),
            tracer_config: GethDebugTracerConfig(config),
            ..GethDebugTracingOptions::default()
        };
        let this = Self(options);
        this.start()?;
        Ok(this)
    }

    pub(crate) fn start(&self) -> Result<DebugInspector, String> {
        DebugInspector::new(self.0.clone()).map_err(|error| format!("{error}"))
    }
}

/// geth lets each tracer of a mux have no configuration; the inspector wants one where there could be one, and none where not.
fn mux(config: Value) -> Result<Value, String> {
    let Value::Object(inner) = config else { return Err("muxTracer needs an object of tracers".into()) };
    let mut tracers = Map::new();
    for (name, config) in inner {
        let config = match name.as_str() {
            "callTracer" | "flatCallTracer" | "prestateTracer" if config.is_null() => Value::Object(Map::new()),
            "callTracer" | "flatCallTracer" | "prestateTracer" => config,
            "4byteTracer" | "noopTracer" => Value::Null,
            _ => {
                let shown: String = name.chars().take(40).collect();
                return Err(format!("tracer not found: {shown}"));
            }
        };
        tracers.insert(name, config);
    }
    Ok(Value::Object(tracers))
}
