//! Comments: stored and read back. Rocket's own variables say where (`ROCKET_ADDRESS`, `ROCKET_PORT`,
//! `ROCKET_DATABASES`).

use rocket::form::Form;
use rocket::http::Status;
use rocket::serde::json::Json;
use rocket::serde::Serialize;
use rocket::{get, launch, post, routes, FromForm};
use rocket_db_pools::{deadpool_postgres, Connection, Database};

#[derive(Database)]
#[database("content")]
struct Store(deadpool_postgres::Pool);

#[derive(FromForm)]
struct NewComment {
    #[field(validate = len(1..))]
    uid: String,
    #[field(validate = len(1..=4096))]
    text: String,
}

#[derive(Serialize)]
#[serde(crate = "rocket::serde")]
struct Comment {
    id: i64,
    uid: String,
    text: String,
}

#[post("/new_comment", data = "<comment>")]
async fn new_comment(store: Connection<Store>, comment: Form<NewComment>) -> Result<Status, Status> {
    store
        .execute("INSERT INTO comments (uid, text) VALUES ($1, $2)", &[&comment.uid, &comment.text])
        .await
        .map_err(broken)?;
    Ok(Status::Created)
}

#[get("/list")]
async fn list(store: Connection<Store>) -> Result<Json<Vec<Comment>>, Status> {
    let rows = store.query("SELECT id, uid, text FROM comments ORDER BY id", &[]).await.map_err(broken)?;
    Ok(Json(rows.iter().map(|row| Comment { id: row.get(0), uid: row.get(1), text: row.get(2) }).collect()))
}

#[get("/healthz")]
fn healthy() -> &'static str {
    "ok"
}

fn broken(error: impl std::fmt::Display) -> Status {
    rocket::error!("{error}");
    Status::InternalServerError
}

#[launch]
fn launch() -> _ {
    rocket::build().attach(Store::init()).mount("/", routes![new_comment, list, healthy])
}
