//! What the program does.

use letters_model::Letter;

/// A letter that was written and read again.
pub fn posted(to: &str, text: &str) -> Option<Letter> {
    letters_store::read(&letters_store::written(&Letter::of(to, text)))
}
