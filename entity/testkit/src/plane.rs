//! A whole installation, of the real programs.
