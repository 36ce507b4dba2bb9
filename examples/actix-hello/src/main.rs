use actix_web::{get, App, HttpServer, Responder};

const GREETING: &str = "Hello, world!";

#[get("/")]
async fn hello() -> impl Responder {
    GREETING
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    println!("listening on http://0.0.0.0:8080");
    HttpServer::new(|| App::new().service(hello)).bind(("0.0.0.0", 8080))?.run().await
}
