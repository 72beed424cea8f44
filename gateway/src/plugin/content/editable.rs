//! The edits of the transformers on each form of content.

use serde_json::value::RawValue;

use super::{Arguments, Json, Multipart, Path, TooManyEntries};
use crate::plugin::edits::Editable;

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Editable<N, V> for Arguments {
    fn remove(&mut self, name: &N) -> Result<bool, TooManyEntries> {
        Ok(self.remove(name.as_ref()))
    }

    fn rename(&mut self, old: &N, new: &N) -> Result<bool, TooManyEntries> {
        Ok(self.rename(old.as_ref(), new.as_ref()))
    }

    fn replace(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        Ok(self.replace(name.as_ref(), value.as_ref()))
    }

    fn add(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        Ok(self.add(name.as_ref(), value.as_ref()))
    }

    fn append(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        self.append(name.as_ref(), Some(value.as_ref()));
        Ok(true)
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Editable<N, V> for Multipart {
    fn remove(&mut self, name: &N) -> Result<bool, TooManyEntries> {
        Ok(self.remove(name.as_ref()))
    }

    fn rename(&mut self, old: &N, new: &N) -> Result<bool, TooManyEntries> {
        Ok(self.rename(old.as_ref(), new.as_ref()))
    }

    fn replace(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        Ok(self.replace(name.as_ref(), value.as_ref()))
    }

    fn add(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        Ok(self.add(name.as_ref(), value.as_ref()))
    }

    fn append(&mut self, name: &N, value: V) -> Result<bool, TooManyEntries> {
        self.append(name.as_ref(), value.as_ref());
        Ok(true)
    }
}

impl Editable<Path, Box<RawValue>> for Json {
    fn remove(&mut self, path: &Path) -> Result<bool, TooManyEntries> {
        self.remove(path)
    }

    fn rename(&mut self, old: &Path, new: &Path) -> Result<bool, TooManyEntries> {
        self.rename(old, new)
    }

    fn replace(&mut self, path: &Path, value: Box<RawValue>) -> Result<bool, TooManyEntries> {
        self.replace(path, value)
    }

    fn add(&mut self, path: &Path, value: Box<RawValue>) -> Result<bool, TooManyEntries> {
        self.add(path, value)
    }

    fn append(&mut self, path: &Path, value: Box<RawValue>) -> Result<bool, TooManyEntries> {
        self.append(path, value)
    }
}
