//! Samples of one quantity.

use std::fmt;
use std::time::Duration;

/// Samples, in the unit of their output.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a time, in milliseconds.
    pub fn milliseconds(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// What each sample has more than that of the same round of `others`.
    #[must_use]
    pub fn beyond(&self, others: &Self) -> Self {
        Self(self.0.iter().zip(&others.0).map(|(one, other)| one - other).collect())
    }

    /// The value that this share of the samples does not exceed.
    ///
    /// # Panics
    /// When there is none.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
    }
}

/// Formats median, p99, least and greatest, in columns of nine characters.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.2}{:9.2}{:9.2}{:9.2}", self.at(0.5), self.at(0.99), self.at(0.0), self.at(1.0))
    }
}

/// The heading for the output of [`Samples`].
pub const HEADING: &str = "   median      p99      min      max";

/// Reads a list of numbers, with commas between them, from the environment.
///
/// # Panics
/// The variable is something else.
pub fn numbers(variable: &str, default: &[usize]) -> Vec<usize> {
    match std::env::var(variable) {
        Ok(list) => list.split(',').map(|number| number.trim().parse().expect("a list of numbers")).collect(),
        Err(_) => default.to_vec(),
    }
}

/// Reads a number from the environment.
///
/// # Panics
/// The variable is something else.
pub fn number(variable: &str, default: usize) -> usize {
    numbers(variable, &[default])[0]
}
