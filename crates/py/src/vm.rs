//! What executes code, by its name.

use interlace_stf::CodeTier;

use crate::border::CoreError;

/// The tier of a name.
pub(crate) fn named(name: &str) -> Result<CodeTier, CoreError> {
    CodeTier::named(name).ok_or_else(|| CoreError::new("engine.vm", format_args!("vm {name:?}: analysed or plain")))
}
