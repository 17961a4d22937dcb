//! Encryption of secrets in the database, so that its files alone do not reveal them: secrets of applications and digest hashes of
//! passwords are sealed with AES-256-GCM, each bound to its row.
//!
//! The key is in the environment ([`VARIABLE`]) or else in the file [`FILE`] of the data folder, which is created at the first
//! start. The database has a fingerprint of the key, so a wrong or lost key is detected before anything is written.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::Sha256;
use thiserror::Error;
use tracing::warn;

use super::{StoreError, random};

/// The environment variable, which takes precedence over the file.
const VARIABLE: &str = "OFFHOOK_SEAL_KEY";
/// The file in the data folder, which only its owner can read.
const FILE: &str = "seal-key";
/// The length of a key, octets.
const LENGTH: usize = 32;

/// Why the key cannot be used. Nothing was changed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The file cannot be read or created.
    #[error("the key of the database, {0}: {1}")]
    File(PathBuf, io::Error),
    /// The content of the file or the variable is not a key.
    #[error("{0} is no key: it must be base64 of {LENGTH} octets")]
    NoKey(String),
    /// The database is sealed, and there is no key.
    #[error("the key of the database is missing: put {0} back, or set {VARIABLE}")]
    Lost(PathBuf),
    /// The database was sealed with another key.
    #[error("{0} is not the key with which the database was sealed")]
    Other(String),
    /// A sealed value was changed, or moved to another row.
    #[error("a secret in the database was damaged or belongs to another row")]
    Broken,
}

/// The key, ready for use.
pub(super) struct Seal {
    key: RandomizedNonceKey,
    /// The fingerprint of the key, which the database stores.
    id: [u8; 32],
    /// The origin of the key, for messages.
    place: String,
}

impl Seal {
    /// Returns the key of a database, inside the transaction that migrates the tables, so that no other process creates one.
    pub(super) fn open(folder: &Path, database: &Connection) -> Result<Self, StoreError> {
        let known = database.query_row("SELECT key FROM seal", [], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        let seal = Self::find(folder, known.is_none())?;
        match known {
            Some(known) if known != seal.id => Err(SealError::Other(seal.place).into()),
            _ => Ok(seal),
        }
    }

    fn find(folder: &Path, may_make: bool) -> Result<Self, SealError> {
        let path = folder.join(FILE);
        if let Some(text) = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
            return Self::parse(&text, VARIABLE.into());
        }
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make(folder, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SealError::Lost(path)),
            text => text,
        };
        Self::parse(&text.map_err(|error| SealError::File(path.clone(), error))?, path.display().to_string())
    }

    fn parse(text: &str, place: String) -> Result<Self, SealError> {
        let octets = STANDARD.decode(text.trim()).ok().filter(|octets| octets.len() == LENGTH);
        let octets = octets.ok_or_else(|| SealError::NoKey(place.clone()))?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &octets).map_err(|_| SealError::NoKey(place.clone()))?;
        let mut id = Hmac::<Sha256>::new_from_slice(&octets).expect("HMAC takes a key of any length");
        id.update(b"offhook seal 1");
        Ok(Self { key, id: id.finalize().into_bytes().into(), place })
    }

    /// Returns the sealed `secret`: nonce, ciphertext and tag. It can only be opened for the row that `owner` identifies.
    pub(super) fn close(&self, owner: &[&str], secret: &[u8]) -> Vec<u8> {
        let mut text = secret.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(name(owner)), &mut text).expect("a secret is short");
        [nonce.as_ref().as_slice(), &text].concat()
    }

    /// Opens the sealed secret of the row that `owner` identifies.
    pub(super) fn reveal(&self, owner: &[&str], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut text = text.to_vec();
        self.key.open_in_place(nonce, Aad::from(name(owner)), &mut text).map_err(|_| SealError::Broken)?;
        text.truncate(text.len().saturating_sub(MAX_TAG_LEN));
        Ok(text)
    }

    /// Seals what earlier versions stored in plain text, and stores the fingerprint of the key.
    pub(super) fn adopt(&self, database: &Connection) -> Result<(), StoreError> {
        let mut query = database.prepare("SELECT key, secret FROM application")?;
        let applications = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (key, secret) in applications.collect::<Result<Vec<(String, Vec<u8>)>, _>>()? {
            let sealed = self.close(&application(&key), &secret);
            database.execute("UPDATE application SET secret = ?2 WHERE key = ?1", params![key, sealed])?;
        }
        let mut query = database.prepare("SELECT application, name, ha1_sha256, ha1_md5 FROM user WHERE ha1_sha256 IS NOT NULL")?;
        let users = query
            .query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<_>>(3)?.unwrap_or_default()]))?;
        for [of, name, sha256, md5] in users.collect::<Result<Vec<[String; 4]>, _>>()? {
            let sealed = self.close(&user(&of, &name), [sha256, md5].join("\n").as_bytes());
            database.execute("UPDATE user SET proof = ?3 WHERE application = ?1 AND name = ?2", params![of, name, sealed])?;
        }
        database.execute_batch("ALTER TABLE user DROP COLUMN ha1_sha256; ALTER TABLE user DROP COLUMN ha1_md5;")?;
        database.execute("INSERT INTO seal (one, key, scrubbed) VALUES (1, ?1, 0)", [self.id])?;
        Ok(())
    }
}

/// Returns the owner of a secret: the row of an application.
pub(super) fn application(key: &str) -> [&str; 2] {
    ["application", key]
}

/// Returns the owner of a secret: the row of a user.
pub(super) fn user<'a>(application: &'a str, name: &'a str) -> [&'a str; 3] {
    ["user", application, name]
}

/// Returns the parts with their lengths, so that different rows have different owners.
fn name(owner: &[&str]) -> Vec<u8> {
    owner.iter().flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.bytes())).collect()
}

/// Creates a key file atomically.
fn make(folder: &Path, path: &Path) -> io::Result<String> {
    let text = STANDARD.encode(random(LENGTH));
    let begun = path.with_extension("new");
    drop(fs::remove_file(&begun));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&begun)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all())?;
    fs::rename(&begun, path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(text)
}

/// Rewrites the file after secrets were sealed, so that no free page and no old log contains them. Where another process reads the
/// database, the next start does it.
pub(super) fn scrub(database: &Connection) -> rusqlite::Result<()> {
    if database.query_row("SELECT scrubbed FROM seal", [], |row| row.get(0))? {
        return Ok(());
    }
    let emptied = || database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).map(|busy| !busy);
    match database.execute_batch("VACUUM").and_then(|()| emptied()) {
        Ok(true) => {
            database.execute("UPDATE seal SET scrubbed = 1", [])?;
        }
        Ok(false) => warn!("the database is in use: old copies of secrets in its files are removed at the next start"),
        Err(error) => warn!(%error, "old copies of secrets in the database could not be removed; the next start tries again"),
    }
    Ok(())
}
