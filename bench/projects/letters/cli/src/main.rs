use clap::Parser;

/// Posts a letter to oneself.
#[derive(Parser)]
struct Options {
    /// Whom it is for.
    #[arg(long, default_value = "you")]
    to: String,
    /// What it says.
    #[arg(default_value = "Hello, world!")]
    text: String,
}

fn main() {
    let options = Options::parse();
    match letters_service::posted(&options.to, &options.text) {
        Some(letter) => println!("{} words to {}", letter.words.len(), letter.to),
        None => std::process::exit(1),
    }
}
