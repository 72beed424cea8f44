//! The list of plugins, as `model` has it: each configuration with its behaviour.

use model::PluginConfig;
use model::plugins::Config;

use super::{Behaviour, InstanceTerms, Phases, Plugin, Unusable};

/// A compiled instance, without its types.
pub(super) struct Made {
    pub(super) behaviour: Box<dyn Behaviour>,
    pub(super) phases: Phases,
    pub(super) priority: i32,
}

macro_rules! plugins {
    ($($config:ident = $module:ident;)*) => {
        /// Compiles a configuration.
        pub(super) fn make(config: &Config, terms: &InstanceTerms) -> Result<Made, Unusable> {
            match config {
                $(Config::$config(config) => compile::<super::$module::$config>(config, terms),)*
            }
        }
    };
}

model::with_every_plugin!(plugins);

fn compile<P: Plugin>(config: &P::Config, terms: &InstanceTerms) -> Result<Made, Unusable> {
    let behaviour = Box::new(P::compile(config, terms)?);
    Ok(Made { behaviour, phases: P::PHASES, priority: P::Config::PRIORITY })
}
