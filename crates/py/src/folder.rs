//! Python's view of a data directory that no chain runs in.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use interlace_chain::folder::{self, Checked, FolderStats};
use interlace_chain::{ChainError, CheckpointStats};
use interlace_state::StorageError;
use interlace_state::checkpoint::Manifest;
use interlace_state::vfs::{Disk, Vfs};
use pyo3::prelude::*;
use serde_json::json;

use crate::border::{CoreError, enter};
use crate::progress::Progress;

fn error(error: &ChainError) -> CoreError {
    CoreError::new(error.code(), error)
}

fn open(folder: &Path) -> Result<Arc<dyn Vfs>, CoreError> {
    if !folder.is_dir() {
        let reason = StorageError::Io { what: "open", file: folder.display().to_string(), reason: "no folder".into() };
        return Err(CoreError::new(reason.code(), reason));
    }
    let disk = Disk::open(folder).map_err(|error| CoreError::new(error.code(), error))?;
    Ok(Arc::new(disk))
}

/// What a data directory holds, as JSON; every checksum is compared.
#[pyfunction]
fn folder_stats(py: Python<'_>, folder: PathBuf, progress: PyRef<'_, Progress>) -> PyResult<String> {
    let progress = progress.clone();
    enter(py, || {
        let tell = |phase, done, all| progress.tell(phase, done, all);
        let stats = folder::stats(open(&folder)?, &tell).map_err(|failed| error(&failed))?;
        let FolderStats { log_files, log_bytes, torn_bytes, blocks, edits, reverts, loads, head, .. } = stats;
        let checkpoint = stats.checkpoint.map(|Manifest { number, mark, block, edits, window, hash, root, history, .. }| {
            json!({
                "number": number, "records": mark, "block": block, "edits": edits, "history": window, "hash": hash,
                "root": root, "bytes": stats.checkpoint_bytes, "archive": history > 0, "history_bytes": stats.history_bytes,
            })
        });
        let stats = json!({
            "genesis": stats.genesis, "head": head, "blocks": blocks, "edits": edits, "reverts": reverts,
            "deepest_revert": stats.deepest_revert, "loads": loads, "log_files": log_files, "log_bytes": log_bytes,
            "torn_bytes": torn_bytes, "torn_manifests": stats.torn_manifests, "checkpoint": checkpoint,
            "records_behind": stats.records_behind,
        });
        Ok(stats.to_string())
    })
}

/// Makes every state of a data directory again, compares every root, and gives number, hash and state root of the head, and whether there is
/// a checkpoint, as JSON.
#[pyfunction]
fn folder_check(py: Python<'_>, folder: PathBuf, progress: PyRef<'_, Progress>) -> PyResult<String> {
    let progress = progress.clone();
    enter(py, || {
        let tell = |phase, done, all| progress.tell(phase, done, all);
        let Checked { head, hash, root, checkpoint } =
            folder::check(open(&folder)?, &tell).map_err(|failed| error(&failed))?;
        Ok(json!({"head": head, "hash": hash, "root": root, "checkpoint": checkpoint}).to_string())
    })
}

/// Writes the blocks of a data directory to a file, one after the other, and says how many.
#[pyfunction]
fn folder_export(py: Python<'_>, folder: PathBuf, file: PathBuf, progress: PyRef<'_, Progress>) -> PyResult<u64> {
    let progress = progress.clone();
    enter(py, || {
        let tell = |phase, done, all| progress.tell(phase, done, all);
        let failed = |error: &std::io::Error| {
            let (file, reason) = (file.display().to_string(), error.to_string());
            ChainError::Storage(StorageError::Io { what: "write", file, reason })
        };
        let vfs = open(&folder)?;
        let mut out = std::fs::File::create_new(&file).map(BufWriter::new).map_err(|io| error(&failed(&io)))?;
        let sink = |block: &[u8]| out.write_all(block).map_err(|io| failed(&io));
        let count = folder::export(vfs, sink, &tell).and_then(|count| {
            out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|io| failed(&io))?;
            Ok(count)
        });
        count.map_err(|failed| error(&failed))
    })
}

/// Accounts, slots, bytes, bytes of history and seconds.
type Compacted = (u64, u64, u64, u64, f64);

/// Writes a checkpoint of a chain that keeps `history` states, or all; `None` if there is nothing new.
#[pyfunction]
fn folder_compact(
    py: Python<'_>,
    folder: PathBuf,
    history: Option<u64>,
    progress: PyRef<'_, Progress>,
) -> PyResult<Option<Compacted>> {
    let progress = progress.clone();
    enter(py, || {
        let tell = |phase, done, all| progress.tell(phase, done, all);
        let stats = folder::compact(open(&folder)?, history, &tell).map_err(|failed| error(&failed))?;
        Ok(stats.map(|CheckpointStats { accounts, slots, bytes, history, time }| {
            (accounts, slots, bytes, history, time.as_secs_f64())
        }))
    })
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(folder_stats, m)?)?;
    m.add_function(wrap_pyfunction!(folder_check, m)?)?;
    m.add_function(wrap_pyfunction!(folder_export, m)?)?;
    m.add_function(wrap_pyfunction!(folder_compact, m)?)
}
