//! Mails that templates say: `MAILS_ADDRESS` to listen on, `MAILS_SMTP_ADDRESS` to send through, which it waits for.

use std::env;
use std::io;
use std::time::Duration;

use actix_web::web::{Data, Form};
use actix_web::{get, post, App, HttpResponse, HttpServer};
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use minijinja::{context, Environment};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::sleep;

const FROM: &str = "Chapter <noreply@chapter.example>";
const TRIES: u32 = 60;

struct Post {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    templates: Environment<'static>,
}

#[derive(Deserialize)]
struct Confirmation {
    to: String,
}

#[post("/send")]
async fn send(post: Data<Post>, form: Form<Confirmation>) -> HttpResponse {
    let Ok(to) = form.to.parse::<Mailbox>() else {
        return HttpResponse::BadRequest().body("`to` is no address");
    };
    match post.confirm(to, &form.to).await {
        Ok(()) => HttpResponse::Ok().body("sent"),
        Err(error) => {
            log::error!("{error}");
            HttpResponse::BadGateway().finish()
        }
    }
}

#[get("/healthz")]
async fn healthy() -> &'static str {
    "ok"
}

impl Post {
    async fn confirm(&self, to: Mailbox, address: &str) -> Result<(), Box<dyn std::error::Error>> {
        let text = self.templates.get_template("confirm.txt")?.render(context! { to => address })?;
        let mail = Message::builder().from(FROM.parse()?).to(to).subject("Welcome").body(text)?;
        self.smtp.send(mail).await?;
        log::info!("a confirmation went to {address}");
        Ok(())
    }
}

/// Compose starts services side by side: the mail server may come later.
async fn reachable(address: &str) -> io::Result<()> {
    for _ in 1..TRIES {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        log::info!("waiting for {address}");
        sleep(Duration::from_secs(1)).await;
    }
    TcpStream::connect(address).await.map(drop)
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    env_logger::init();
    let address = variable("MAILS_ADDRESS", "127.0.0.1:8002");
    let server = variable("MAILS_SMTP_ADDRESS", "127.0.0.1:2525");
    let (host, port) = server.rsplit_once(':').ok_or_else(|| io::Error::other("MAILS_SMTP_ADDRESS is HOST:PORT"))?;
    let port = port.parse().map_err(io::Error::other)?;
    reachable(&server).await?;
    let mut templates = Environment::new();
    templates.set_loader(minijinja::path_loader("templates"));
    templates.get_template("confirm.txt").map_err(io::Error::other)?;
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).build();
    let post = Data::new(Post { smtp, templates });
    log::info!("listening on http://{address}, sending through {server}");
    HttpServer::new(move || App::new().app_data(post.clone()).service(send).service(healthy)).bind(address)?.run().await
}
