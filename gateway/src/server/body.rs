//! The bodies of HTTP requests.

use offhook_sip::ApiCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api::ApiError;
use crate::store::check_name;

/// The shortest name of a user that a page creates (Sinch 1.x user guide).
const SHORTEST_NEW_NAME: usize = 4;

/// The length of a password, octets.
const PASSWORD: std::ops::RangeInclusive<usize> = 4..=256;

/// The body of `POST /demo/ticket`.
#[derive(Deserialize)]
pub struct TicketRequest {
    /// The user of the ticket.
    #[serde(rename = "userId")]
    pub user_id: String,
}

impl TicketRequest {
    /// Parses the body.
    ///
    /// # Errors
    /// 400 where it is not JSON, a field is missing, or the name is not valid.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let request: Self = read(body)?;
        named(&request.user_id)?;
        Ok(request)
    }
}

/// The body of `POST /users` and `POST /users/authentication`.
#[derive(Deserialize)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// Parses the body.
    ///
    /// # Errors
    /// 400 where it is not JSON, a field is missing, the name is not valid, or the password is too long.
    pub fn read(body: &[u8]) -> Result<Self, ApiError> {
        let login: Self = read(body)?;
        named(&login.username)?;
        if login.password.len() > *PASSWORD.end() {
            return Err(ApiError::new(ApiCode::Parameter, "password must have 4 to 256 octets"));
        }
        Ok(login)
    }

    /// Checks whether a new user may have this name and password.
    ///
    /// # Errors
    /// 400, and which of the two is not valid.
    pub fn check_new(&self) -> Result<(), ApiError> {
        if self.username.len() < SHORTEST_NEW_NAME || self.username.trim() != self.username {
            return Err(ApiError::new(ApiCode::Parameter, "username must have 4 to 40 characters, with no blank at its ends"));
        }
        if !PASSWORD.contains(&self.password.len()) {
            return Err(ApiError::new(ApiCode::Parameter, "password must have 4 to 256 octets"));
        }
        Ok(())
    }
}

/// Parses JSON.
///
/// # Errors
/// 400 where it is not JSON, or a field is missing or of another type.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => ApiError::new(ApiCode::MissingParameter, "A field is missing or of another type"),
        _ => ApiError::new(ApiCode::Malformed, "The body is not JSON"),
    })
}

fn named(name: &str) -> Result<(), ApiError> {
    check_name(name).map_err(|why| ApiError::new(ApiCode::Parameter, why))
}
