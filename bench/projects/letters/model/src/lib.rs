//! A letter.

use serde::{Deserialize, Serialize};

/// A letter with the words in it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letter {
    pub to: String,
    pub words: Vec<String>,
}

impl Letter {
    /// A letter of a text.
    pub fn of(to: &str, text: &str) -> Self {
        Self { to: to.into(), words: letters_text::words(text) }
    }
}
