use std::process::ExitCode;

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
compile_error!("one of the features `rustls` and `native-tls` is needed");

const BACKEND: &str = if cfg!(feature = "native-tls") { "native-tls" } else { "rustls" };

async fn fetch(url: &str) -> reqwest::Result<(reqwest::StatusCode, String)> {
    let answer = reqwest::get(url).await?;
    Ok((answer.status(), answer.text().await?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("usage: reqwest-fetch URL");
        return ExitCode::from(2);
    };
    match fetch(&url).await {
        Ok((status, text)) => {
            println!("{status} by {BACKEND}: {} bytes", text.len());
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("reqwest-fetch: {error:?}");
            ExitCode::FAILURE
        }
    }
}
