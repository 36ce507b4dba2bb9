use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::HttpDate;
use actix_web::{get, App, HttpResponse, HttpServer};

/// Seconds since 1970, and the same as HTTP writes dates.
#[get("/time")]
async fn time() -> HttpResponse {
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let body = format!(r#"{{"unix":{seconds},"utc":"{}"}}"#, HttpDate::from(now));
    HttpResponse::Ok().content_type("application/json").body(body)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    println!("listening on http://0.0.0.0:8080");
    HttpServer::new(|| App::new().service(time)).bind(("0.0.0.0", 8080))?.run().await
}
