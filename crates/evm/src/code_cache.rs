//! Analysed code that outlives an execution.
//!
//! Invariant: what is kept is a function of the bytes alone and stands under their hash, so it never goes stale; at most
//! [`MAX_CODE_CACHE_BYTES`] are kept. A cache that is full forgets everything: that is as right as forgetting a little, and costs
//! nothing to keep in order.
//! Why: to find the jump destinations of a token's code takes longer than to answer its `balanceOf`.
//! What it does not do: it reads no state. Who has a state keeps a cache beside it and names it in
//! [`crate::StateReader::code_cache`].

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use alloy_primitives::B256;
use alloy_primitives::map::B256Map;
use revm::bytecode::Bytecode;

use crate::ai::{ProgramCache, ProgramStats};
use crate::tier::{CodeStats, TierCache};

/// Bytes of code in a cache, without the bit for each that tells jump destinations.
pub const MAX_CODE_CACHE_BYTES: usize = 32 * 1024 * 1024;

#[derive(Default)]
struct Kept {
    codes: B256Map<Bytecode>,
    bytes: usize,
}

/// What executes code. What comes out is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodeTier {
    /// Code that is executed often is translated, and executed as cells.
    #[default]
    Analysed,
    /// revm's interpreter alone.
    Plain,
}

impl CodeTier {
    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "analysed" => Some(Self::Analysed),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Code with its jump destinations, shared by executions on one state; that which is executed often also as cells. Beside it programs that ran.
#[derive(Default)]
pub struct CodeCache {
    kept: RwLock<Kept>,
    tier: TierCache,
    programs: Arc<ProgramCache>,
}

impl fmt::Debug for CodeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeCache").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl CodeCache {
    /// One with which `tier` executes everything from the first time on, code translated by whoever executes it: for tests and
    /// measurements, where nothing may depend on when.
    #[must_use]
    pub fn at_once(tier: CodeTier) -> Self {
        let cache = Self::default();
        cache.choose_at_once(tier);
        cache
    }

    /// As [`Self::at_once`], from now on.
    pub fn choose_at_once(&self, tier: CodeTier) {
        self.tier.at_once();
        self.choose(tier);
    }

    /// Lets `tier` execute from now on.
    pub fn choose(&self, tier: CodeTier) {
        self.tier.switch(tier == CodeTier::Analysed);
    }

    /// What executes.
    #[must_use]
    pub fn chosen(&self) -> CodeTier {
        if self.tier.is_on() { CodeTier::Analysed } else { CodeTier::Plain }
    }

    /// What was translated, and what was executed of it by machines that have ended.
    #[must_use]
    pub fn stats(&self) -> CodeStats {
        self.tier.stats()
    }

    /// What was asked of the programs that are kept ready to run.
    #[must_use]
    pub fn program_stats(&self) -> ProgramStats {
        self.programs.stats()
    }

    pub(crate) fn programs(&self) -> Arc<ProgramCache> {
        Arc::clone(&self.programs)
    }

    pub(crate) fn tier(&self) -> Option<&TierCache> {
        Some(&self.tier).filter(|tier| tier.is_on())
    }

    pub(crate) fn contains(&self, code_hash: B256) -> bool {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).codes.contains_key(&code_hash)
    }

    /// Bytes of code that it holds now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    pub(crate) fn get(&self, code_hash: B256) -> Option<Bytecode> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).codes.get(&code_hash).cloned()
    }

    pub(crate) fn keep(&self, code_hash: B256, code: &Bytecode) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.codes.contains_key(&code_hash) {
            return;
        }
        if kept.bytes.saturating_add(code.len()) > MAX_CODE_CACHE_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += code.len();
        kept.codes.insert(code_hash, code.clone());
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, keccak256};

    use super::*;

    #[test]
    fn it_holds_no_more_than_its_bound() {
        let cache = CodeCache::default();
        let code = Bytecode::new_legacy(Bytes::from(vec![0x5b; 24_576]));
        let hash = |number: u64| keccak256(number.to_be_bytes());
        let fit = u64::try_from(MAX_CODE_CACHE_BYTES / code.len()).unwrap_or_default();
        for number in 0..fit {
            cache.keep(hash(number), &code);
            cache.keep(hash(number), &code);
        }
        assert_eq!(cache.bytes(), MAX_CODE_CACHE_BYTES / code.len() * code.len(), "the same code counts once");
        assert!(cache.get(hash(0)).is_some() && cache.get(hash(fit)).is_none());
        cache.keep(hash(fit), &code);
        assert_eq!(cache.bytes(), code.len());
        assert!(cache.get(hash(0)).is_none() && cache.get(hash(fit)).is_some());
    }
}
