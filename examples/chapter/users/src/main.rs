//! Sign-up and sign-in: `USERS_ADDRESS` to listen on, `USERS_DATABASE` to keep accounts in.

mod accounts;
mod schema;

use std::env;
use std::io;

use accounts::{Account, Refused};
use actix_web::web::{self, Data, Form, Json};
use actix_web::{get, post, App, HttpResponse, HttpServer};
use diesel::pg::PgConnection;
use diesel::r2d2::{ConnectionManager, Pool};
use serde::{Deserialize, Serialize};

type Database = Pool<ConnectionManager<PgConnection>>;

#[derive(Deserialize)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Serialize)]
struct User {
    id: String,
    email: String,
}

#[post("/signup")]
async fn sign_up(database: Data<Database>, form: Form<Credentials>) -> HttpResponse {
    answer(database, form, accounts::sign_up).await
}

#[post("/signin")]
async fn sign_in(database: Data<Database>, form: Form<Credentials>) -> HttpResponse {
    answer(database, form, accounts::sign_in).await
}

#[get("/healthz")]
async fn healthy() -> &'static str {
    "ok"
}

async fn answer(
    database: Data<Database>,
    form: Form<Credentials>,
    ask: fn(&mut PgConnection, &str, &str) -> Result<Account, Refused>,
) -> HttpResponse {
    let Credentials { email, password } = form.into_inner();
    if !email.contains('@') || password.is_empty() {
        return HttpResponse::BadRequest().body("an address and a password are needed");
    }
    let asked = web::block(move || {
        let mut connection = database.get().map_err(|error| Refused::Failed(error.to_string()))?;
        ask(&mut connection, &email, &password)
    })
    .await;
    match asked {
        Ok(Ok(Account { id, email, .. })) => HttpResponse::Ok().json(Json(User { id, email })),
        Ok(Err(Refused::Known)) => HttpResponse::Conflict().body("there is such an account"),
        Ok(Err(Refused::Unknown)) => HttpResponse::Unauthorized().body("there is no such account, or its password is another"),
        Ok(Err(Refused::Failed(error))) => broken(&error),
        Err(error) => broken(&error.to_string()),
    }
}

fn broken(error: &str) -> HttpResponse {
    log::error!("{error}");
    HttpResponse::InternalServerError().finish()
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    env_logger::init();
    let address = env::var("USERS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:8001".to_owned());
    let url = env::var("USERS_DATABASE").map_err(|_| io::Error::other("USERS_DATABASE is not set"))?;
    let database = Pool::builder().build_unchecked(ConnectionManager::<PgConnection>::new(url));
    log::info!("listening on http://{address}");
    HttpServer::new(move || {
        App::new().app_data(Data::new(database.clone())).service(sign_up).service(sign_in).service(healthy)
    })
    .bind(address)?
    .run()
    .await
}
