//! Words of a text.

use regex::Regex;

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<String> {
    let word = Regex::new(r"\w+").expect("the pattern is right");
    word.find_iter(text).map(|found| found.as_str().to_lowercase()).collect()
}
