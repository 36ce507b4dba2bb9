//! Accounts as the database keeps them: an address, and what Argon2 makes of a password.

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::Argon2;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use uuid::Uuid;

use crate::schema::users;

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Account {
    pub id: String,
    pub email: String,
    password: String,
}

#[derive(Debug)]
pub enum Refused {
    /// There is an account with this address already.
    Known,
    /// No such account, or another password.
    Unknown,
    Failed(String),
}

pub fn sign_up(connection: &mut PgConnection, email: &str, password: &str) -> Result<Account, Refused> {
    let salt = SaltString::generate(&mut OsRng);
    let hashed = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
    let account =
        Account { id: Uuid::new_v4().to_string(), email: email.to_owned(), password: hashed.to_string() };
    match diesel::insert_into(users::table).values(&account).execute(connection) {
        Ok(_) => Ok(account),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Err(Refused::Known),
        Err(error) => Err(failed(error)),
    }
}

pub fn sign_in(connection: &mut PgConnection, email: &str, password: &str) -> Result<Account, Refused> {
    let account = users::table
        .filter(users::email.eq(email))
        .select(Account::as_select())
        .first(connection)
        .optional()
        .map_err(failed)?
        .ok_or(Refused::Unknown)?;
    let hashed = PasswordHash::new(&account.password).map_err(failed)?;
    Argon2::default().verify_password(password.as_bytes(), &hashed).map_err(|_| Refused::Unknown)?;
    Ok(account)
}

fn failed(error: impl std::fmt::Display) -> Refused {
    Refused::Failed(error.to_string())
}
