//! Brings the tables of `DBSYNC_DATABASE` up to date with the migrations that were compiled in, and ends.

use std::env;
use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use diesel::{Connection, ConnectionResult, PgConnection};
use diesel_migrations::{embed_migrations, EmbeddedMigrations, MigrationHarness};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
const TRIES: u32 = 60;

/// Compose starts services side by side: the database may come later.
fn connected(url: &str) -> ConnectionResult<PgConnection> {
    for _ in 1..TRIES {
        match PgConnection::establish(url) {
            Ok(connection) => return Ok(connection),
            Err(error) => log::info!("waiting for the database: {error}"),
        }
        sleep(Duration::from_secs(1));
    }
    PgConnection::establish(url)
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    env_logger::init();
    let url = env::var("DBSYNC_DATABASE").map_err(|_| "DBSYNC_DATABASE is not set")?;
    let mut database = connected(&url)?;
    let applied = database.run_pending_migrations(MIGRATIONS)?;
    for migration in &applied {
        log::info!("applied {migration}");
    }
    log::info!("the database is up to date");
    Ok(())
}
