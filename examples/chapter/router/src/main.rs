//! The one door: static pages, and forms that are forwarded. `ROUTER_USERS`, `ROUTER_MAILS` and `ROUTER_CONTENT` say
//! where the other services are, `ROUTER_ADDRESS` where this one listens.

use std::env;
use std::io;

use actix_files::Files;
use actix_web::web::{Bytes, Data};
use actix_web::{get, http::StatusCode, post, App, HttpRequest, HttpResponse, HttpServer};
use reqwest::Client;
use serde::Deserialize;

#[derive(Clone)]
struct Services {
    client: Client,
    users: String,
    mails: String,
    content: String,
}

#[derive(Deserialize)]
struct User {
    email: String,
}

#[post("/api/signup")]
async fn sign_up(services: Data<Services>, request: HttpRequest, form: Bytes) -> HttpResponse {
    let url = format!("{}/signup", services.users);
    let (status, body) = match services.forward(&url, &request, form).await {
        Ok(answer) => answer,
        Err(error) => return unreachable(&url, &error),
    };
    if status.is_success() {
        if let Ok(user) = serde_json::from_slice::<User>(&body) {
            services.welcome(&user.email).await;
        }
    }
    answer(status, body)
}

#[post("/api/signin")]
async fn sign_in(services: Data<Services>, request: HttpRequest, form: Bytes) -> HttpResponse {
    services.pass(format!("{}/signin", services.users), request, form).await
}

#[post("/api/new_comment")]
async fn new_comment(services: Data<Services>, request: HttpRequest, form: Bytes) -> HttpResponse {
    services.pass(format!("{}/new_comment", services.content), request, form).await
}

#[get("/api/comments")]
async fn comments(services: Data<Services>) -> HttpResponse {
    let url = format!("{}/list", services.content);
    match services.client.get(&url).send().await {
        Ok(found) => {
            let status = StatusCode::from_u16(found.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            match found.bytes().await {
                Ok(body) => HttpResponse::build(status).content_type("application/json").body(body),
                Err(error) => unreachable(&url, &error),
            }
        }
        Err(error) => unreachable(&url, &error),
    }
}

#[get("/healthz")]
async fn healthy() -> &'static str {
    "ok"
}

impl Services {
    async fn forward(&self, url: &str, request: &HttpRequest, form: Bytes) -> reqwest::Result<(StatusCode, Bytes)> {
        let kind = request.headers().get("content-type").and_then(|value| value.to_str().ok());
        let found = self
            .client
            .post(url)
            .header("content-type", kind.unwrap_or("application/x-www-form-urlencoded"))
            .body(form)
            .send()
            .await?;
        let status = StatusCode::from_u16(found.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        Ok((status, found.bytes().await?))
    }

    async fn pass(&self, url: String, request: HttpRequest, form: Bytes) -> HttpResponse {
        match self.forward(&url, &request, form).await {
            Ok((status, body)) => answer(status, body),
            Err(error) => unreachable(&url, &error),
        }
    }

    /// An account without a mail is better than none.
    async fn welcome(&self, email: &str) {
        let url = format!("{}/send", self.mails);
        match self.client.post(&url).form(&[("to", email)]).send().await.and_then(|found| found.error_for_status()) {
            Ok(_) => log::info!("{email} is welcome"),
            Err(error) => log::error!("no mail went to {email}: {error}"),
        }
    }
}

fn answer(status: StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status).body(body)
}

fn unreachable(url: &str, error: &reqwest::Error) -> HttpResponse {
    log::error!("{url}: {error}");
    HttpResponse::BadGateway().body("a service behind this one does not answer")
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    env_logger::init();
    let address = variable("ROUTER_ADDRESS", "127.0.0.1:8000");
    let services = Data::new(Services {
        client: Client::new(),
        users: variable("ROUTER_USERS", "http://127.0.0.1:8001"),
        mails: variable("ROUTER_MAILS", "http://127.0.0.1:8002"),
        content: variable("ROUTER_CONTENT", "http://127.0.0.1:8003"),
    });
    log::info!("listening on http://{address}");
    HttpServer::new(move || {
        App::new()
            .app_data(services.clone())
            .service(sign_up)
            .service(sign_in)
            .service(new_comment)
            .service(comments)
            .service(healthy)
            .service(Files::new("/", "static").index_file("index.html"))
    })
    .bind(address)?
    .run()
    .await
}
