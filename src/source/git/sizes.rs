//! The sizes of files that a checkout changes: known only once a body was read, and asked for at every walk.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use git2::Oid;

use super::convert::Conversion;
use crate::model::tree::TreeError;

/// Sizes that are kept, some 4 MiB of them. Whatever comes after is read again when it is asked for again.
const MOST: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Sizes(Mutex<HashMap<(Oid, Conversion), u64>>);

impl Sizes {
    /// What is known, or else what is found now.
    pub fn of(&self, id: Oid, conversion: Conversion, find: impl FnOnce() -> Result<u64, TreeError>) -> Result<u64, TreeError> {
        let key = (id, conversion);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = known().get(&key) {
            return Ok(*size);
        }
        let size = find()?;
        let mut known = known();
        if known.len() < MOST {
            known.insert(key, size);
        }
        Ok(size)
    }
}
