use std::convert::Infallible;
use std::net::SocketAddr;

use hyper::service::{make_service_fn, service_fn};
use hyper::{Body, Request, Response, Server};

const GREETING: &str = "Hello, world!";

async fn hello(_request: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from(GREETING)))
}

async fn asked_to_stop() {
    use tokio::signal::unix::{signal, SignalKind};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be waited for");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[tokio::main]
async fn main() {
    let address = SocketAddr::from(([0, 0, 0, 0], 3000));
    let service = make_service_fn(|_connection| async { Ok::<_, Infallible>(service_fn(hello)) });
    let server = Server::bind(&address).serve(service);
    println!("listening on http://{address}");
    if let Err(error) = server.with_graceful_shutdown(asked_to_stop()).await {
        eprintln!("hyper-hello: {error}");
        std::process::exit(1);
    }
}
