//! file-log: appends an entry for each request to a file.

use super::log::Entries;
use super::{Ended, InstanceTerms, Phases, Plugin, Unusable};
use crate::line_files::LineTerms;

/// file-log, compiled.
#[derive(Debug)]
pub struct FileLog {
    entries: Entries,
    path: Box<str>,
    terms: LineTerms,
}

impl Plugin for FileLog {
    type Config = model::plugins::FileLog;

    const PHASES: Phases = Phases::LOG;

    fn compile(config: &Self::Config, terms: &InstanceTerms) -> Result<Self, Unusable> {
        Ok(Self {
            entries: Entries::new(config.custom_fields_by_lua.as_ref(), &config.redact),
            path: config.path.as_str().into(),
            terms: LineTerms { writer: terms.name, reopen: config.reopen },
        })
    }

    fn log(&self, ended: &Ended<'_>) {
        let mut line = self.entries.entry(ended);
        line.push(b'\n');
        ended.reports().files.write(&self.path, self.terms, &line);
    }
}
