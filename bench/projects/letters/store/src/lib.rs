//! Letters as JSON.

use letters_model::Letter;

/// A letter as text.
pub fn written(letter: &Letter) -> String {
    serde_json::to_string(letter).expect("a letter can be written")
}

/// A letter from text, if it is one.
pub fn read(text: &str) -> Option<Letter> {
    serde_json::from_str(text).ok()
}
