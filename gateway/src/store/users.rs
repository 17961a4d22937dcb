//! Applications and users.

use std::fmt;

use offhook_access::secret::Secret;
use offhook_proxy::Account;
use offhook_sip::digest::{Algorithm, ha1};
use offhook_sip::telephone::is_form_of_number;
use rusqlite::{OptionalExtension, params};

use super::{Database, Job, SealError, Store, StoreError, seal};

/// The application for this machine only.
pub const DEMO: &str = "demo";

/// An application: a tenant whose users can call each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Application {
    /// Its public key, which is in every page.
    pub key: String,
    /// The secret for its tickets and requests.
    pub secret: Secret,
    /// The origins of its pages, exactly as browsers send them; [`LOOPBACK`] stands for all pages of this machine.
    pub origins: Vec<String>,
    /// Whether pages may create users.
    pub allow_new_users: bool,
    /// Whether only this machine may use it.
    pub loopback_only: bool,
}

/// In [`Application::origins`]: `http` and `https` on localhost, 127.0.0.1 and `[::1]`, on any port.
pub const LOOPBACK: &str = "loopback";

/// Keeps the secret out of logs.
impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("key", &self.key).field("origins", &self.origins).finish_non_exhaustive()
    }
}

/// The longest user name (Sinch 1.x: printable ASCII, 40 characters).
const LONGEST_NAME: usize = 40;

/// Checks whether a user may have this name.
///
/// # Errors
///
/// A message that says what is wrong with the name.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if !(1..=LONGEST_NAME).contains(&name.len()) || !name.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return Err("A user name must have 1 to 40 printable ASCII characters");
    }
    if is_form_of_number(name) {
        return Err("A user name must not be a phone number");
    }
    Ok(())
}

/// The digest hashes of a password (RFC 7616), which are as good as the password in this realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashes {
    /// `H(user:realm:password)` with SHA-256, hexadecimal.
    pub sha256: String,
    /// The same with MD5, for SIP clients that support nothing better.
    pub md5: String,
}

impl Hashes {
    /// Returns the hashes of `password`.
    #[must_use]
    pub fn new(user: &str, realm: &str, password: &str) -> Self {
        Self { sha256: ha1(Algorithm::Sha256, user, realm, password), md5: ha1(Algorithm::Md5, user, realm, password) }
    }
}

/// The password of a user was changed, or the user was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordChange {
    /// The key of the application.
    pub application: String,
    /// The user.
    pub user: String,
    /// The revision, as in [`Account`].
    pub revision: u64,
}

/// The recipient of an error.
pub(super) type Failed = Box<dyn FnOnce(StoreError) + Send>;

impl Store {
    /// Returns all applications, by key.
    pub async fn applications(&self) -> Result<Vec<Application>, StoreError> {
        self.ask(|database| database.applications()).await
    }

    /// Adds an application; [`StoreError::Taken`] where the key exists.
    pub async fn add_application(&self, application: Application) -> Result<(), StoreError> {
        self.ask(move |database| database.add_application(&application)).await
    }

    /// Sets the origins whose pages may use an application, in place of those it had.
    pub async fn set_origins(&self, application: String, origins: Vec<String>) -> Result<(), StoreError> {
        self.ask(move |database| database.set_origins(&application, &origins)).await
    }

    /// Makes only the keys derived from the secret of this application valid.
    pub async fn separate(&self, application: String) -> Result<(), StoreError> {
        self.ask(move |database| database.separate(&application)).await
    }

    /// Sets another secret of an application: what was signed with the old one is no longer valid.
    pub async fn renew(&self, application: String, secret: Secret) -> Result<(), StoreError> {
        self.ask(move |database| database.renew(&application, &secret)).await
    }

    /// Adds a user and returns the stored account; [`StoreError::Taken`] where the name exists, also as a user who has only shown
    /// tickets.
    pub async fn add_user(&self, application: String, user: String, account: Account) -> Result<Account, StoreError> {
        self.ask(move |database| database.add_user(&application, &user, &account)).await
    }

    /// Sets display name and password of a new or existing user.
    pub async fn set_user(&self, application: String, user: String, account: Account) -> Result<(), StoreError> {
        self.ask(move |database| database.set_user(&application, &user, &account)).await
    }

    /// Sets display names and passwords of many new or existing users: all of them, or none where one cannot be set.
    pub async fn set_users(&self, application: String, users: Vec<(String, Account)>) -> Result<(), StoreError> {
        self.ask(move |database| database.set_users(&application, &users)).await
    }

    /// Returns the account of a user, `None` where there is none.
    pub async fn account(&self, application: String, user: String) -> Result<Option<Account>, StoreError> {
        self.ask(move |database| database.account(&application, &user)).await
    }

    /// Like [`Store::account`], but calls `found` with the answer on the database thread, and waits only for space in the queue.
    pub async fn look_up(
        &self,
        application: String,
        user: String,
        found: impl FnOnce(Result<Option<Account>, StoreError>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |database| found(database.account(&application, &user)));
        drop(self.jobs.send(job).await);
    }

    /// Calls `found`, on the database thread, with the passwords that were changed since the last call, also by other processes.
    pub async fn password_changes(&self, found: impl FnOnce(Result<Vec<PasswordChange>, StoreError>) + Send + 'static) {
        let job: Job = Box::new(move |database| found(database.password_changes()));
        drop(self.jobs.send(job).await);
    }

    /// Stores that a user without a password exists; `failed` gets an error, on the database thread. The user is known at once, and
    /// on disk soon.
    pub async fn seen(&self, application: String, user: String, failed: impl FnOnce(StoreError) + Send + 'static) {
        let job: Job = Box::new(move |database| database.seen(application, user, Box::new(failed)));
        drop(self.jobs.send(job).await);
    }
}

impl Database {
    fn applications(&self) -> Result<Vec<Application>, StoreError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT key, secret, shared, origins, allow_new_users, loopback_only FROM application ORDER BY key")?;
        let mut rows = query.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            let secret = self.seal.reveal(&seal::application(&key), &row.get::<_, Vec<u8>>(1)?)?;
            all.push(Application {
                secret: if row.get(2)? { Secret::shared(secret) } else { Secret::separate(secret) },
                origins: row.get::<_, String>(3)?.lines().map(str::to_owned).collect(),
                allow_new_users: row.get(4)?,
                loopback_only: row.get(5)?,
                key,
            });
        }
        Ok(all)
    }

    fn add_application(&self, application: &Application) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO application (key, secret, shared, origins, allow_new_users, loopback_only, created) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, unixepoch())",
            )?
            .execute(params![
                application.key,
                self.seal.close(&seal::application(&application.key), application.secret.octets()),
                application.secret.is_shared(),
                application.origins.join("\n"),
                application.allow_new_users,
                application.loopback_only
            ])?;
        Ok(())
    }

    fn renew(&self, application: &str, secret: &Secret) -> Result<(), StoreError> {
        let sealed = self.seal.close(&seal::application(application), secret.octets());
        let sql = "UPDATE application SET secret = ?2, shared = ?3 WHERE key = ?1";
        match self.connection.execute(sql, params![application, sealed, secret.is_shared()])? {
            0 => Err(StoreError::NoApplication),
            _ => Ok(()),
        }
    }

    fn set_origins(&self, application: &str, origins: &[String]) -> Result<(), StoreError> {
        let sql = "UPDATE application SET origins = ?2 WHERE key = ?1";
        match self.connection.execute(sql, [application, &origins.join("\n")])? {
            0 => Err(StoreError::NoApplication),
            _ => Ok(()),
        }
    }

    fn separate(&self, application: &str) -> Result<(), StoreError> {
        match self.connection.execute("UPDATE application SET shared = 0 WHERE key = ?1", [application])? {
            0 => Err(StoreError::NoApplication),
            _ => Ok(()),
        }
    }

    fn add_user(&mut self, application: &str, user: &str, account: &Account) -> Result<Account, StoreError> {
        self.write_noted();
        self.must_exist(application)?;
        self.insert(
            "INSERT INTO user (application, name, display_name, proof, created) VALUES (?1, ?2, ?3, ?4, unixepoch())",
            application,
            user,
            account,
        )?;
        Ok(self.account(application, user)?.unwrap_or_default())
    }

    fn set_user(&self, application: &str, user: &str, account: &Account) -> Result<(), StoreError> {
        self.must_exist(application)?;
        // A damaged value is overwritten.
        let known = match self.account(application, user) {
            Err(StoreError::Seal(SealError::Broken)) => None,
            known => known?,
        };
        let hashes = |account: &Account| (account.ha1_sha256.clone(), account.ha1_md5.clone());
        // Sealed again, the same password would look like another one.
        let sql = if known.is_some_and(|known| hashes(&known) == hashes(account)) {
            "INSERT INTO user (application, name, display_name, proof, created) VALUES (?1, ?2, ?3, ?4, unixepoch()) \
             ON CONFLICT DO UPDATE SET display_name = ?3"
        } else {
            "INSERT INTO user (application, name, display_name, proof, created) VALUES (?1, ?2, ?3, ?4, unixepoch()) \
             ON CONFLICT DO UPDATE SET display_name = ?3, proof = ?4"
        };
        self.insert(sql, application, user, account)
    }

    fn set_users(&self, application: &str, users: &[(String, Account)]) -> Result<(), StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        users.iter().try_for_each(|(user, account)| self.set_user(application, user, account))?;
        Ok(transaction.commit()?)
    }

    fn insert(&self, sql: &str, application: &str, user: &str, account: &Account) -> Result<(), StoreError> {
        let hashes = account.ha1_sha256.as_ref().map(|sha256| [sha256, account.ha1_md5.as_deref().unwrap_or_default()].join("\n"));
        let proof = hashes.map(|hashes| self.seal.close(&seal::user(application, user), hashes.as_bytes()));
        self.connection.prepare_cached(sql)?.execute(params![application, user, account.display_name, proof])?;
        Ok(())
    }

    pub(super) fn must_exist(&self, application: &str) -> Result<(), StoreError> {
        let exists = self.connection.prepare_cached("SELECT 1 FROM application WHERE key = ?1")?.exists([application])?;
        if exists { Ok(()) } else { Err(StoreError::NoApplication) }
    }

    fn account(&self, application: &str, user: &str) -> Result<Option<Account>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT display_name, proof, coalesce(id, 0) FROM user LEFT JOIN password_change AS change \
                 ON change.application = user.application AND change.user = name WHERE user.application = ?1 AND name = ?2",
        )?;
        let found = query.query_row([application, user], |row| {
            let account = Account { display_name: row.get(0)?, revision: row.get(2)?, ..Account::default() };
            Ok((account, row.get::<_, Option<Vec<u8>>>(1)?))
        });
        let noted = || self.noted.contains_key(&(application.to_owned(), user.to_owned())).then(Account::default);
        let Some((account, proof)) = found.optional()? else { return Ok(noted()) };
        let Some(proof) = proof else { return Ok(Some(account)) };
        let hashes = String::from_utf8(self.seal.reveal(&seal::user(application, user), &proof)?).map_err(|_| SealError::Broken)?;
        let (sha256, md5) = hashes.split_once('\n').ok_or(SealError::Broken)?;
        let md5 = Some(md5.to_owned()).filter(|md5| !md5.is_empty());
        Ok(Some(Account { ha1_sha256: Some(sha256.to_owned()), ha1_md5: md5, ..account }))
    }

    fn password_changes(&mut self) -> Result<Vec<PasswordChange>, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT application, user, id FROM password_change WHERE id > ?1 ORDER BY id")?;
        let rows = query.query_map([self.told], |row| {
            Ok(PasswordChange { application: row.get(0)?, user: row.get(1)?, revision: row.get(2)? })
        })?;
        let changes: Vec<PasswordChange> = rows.collect::<Result<_, _>>()?;
        self.told = changes.last().map_or(self.told, |change| change.revision);
        Ok(changes)
    }

    pub(super) fn last_change(&self) -> rusqlite::Result<u64> {
        self.connection.query_row("SELECT coalesce(max(id), 0) FROM password_change", [], |row| row.get(0))
    }

    fn seen(&mut self, application: String, user: String, failed: Failed) {
        // Each registration comes here, and even a write without a change would wait for the disk, so existence is checked first.
        match self.account(&application, &user) {
            Ok(Some(_)) => {}
            Ok(None) => drop(self.noted.insert((application, user), failed)),
            Err(error) => failed(error),
        }
    }

    /// Writes all noted users.
    pub(super) fn write_noted(&mut self) {
        let noted = std::mem::take(&mut self.noted);
        let written = if noted.is_empty() { Ok(()) } else { self.write_users(noted.keys()) };
        // One error for all of them: they are noted again at their next registration.
        if let (Err(error), Some(failed)) = (written, noted.into_values().next()) {
            failed(error);
        }
    }

    fn write_users<'a>(&self, users: impl Iterator<Item = &'a (String, String)>) -> Result<(), StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        for (application, user) in users {
            self.insert(
                "INSERT INTO user (application, name, display_name, proof, created) VALUES (?1, ?2, ?3, ?4, unixepoch()) \
                 ON CONFLICT DO NOTHING",
                application,
                user,
                &Account::default(),
            )?;
        }
        Ok(transaction.commit()?)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    use crate::store::tests::folder;
    use offhook_ledger::Rules;

    #[test]
    fn users_are_there_after_reopening() {
        let folder = folder("again");
        let mut database = Database::open(&folder, Rules::default()).expect("a fresh database");
        database.add_application(&application()).expect("added");
        database.add_user("shop", "alice", &account("Alice")).expect("added");
        drop(database);
        let database = Database::open(&folder, Rules::default()).expect("an existing database");
        assert_eq!(database.applications().expect("read"), [application()]);
        assert_eq!(database.account("shop", "alice").expect("read").expect("there").display_name, "Alice");
        assert!(database.account("shop", "bob").expect("read").is_none());
        assert!(database.account("other", "alice").expect("read").is_none());
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut database = with_application("taken");
        assert!(matches!(database.add_application(&application()), Err(StoreError::Taken)));
        see(&mut database, "alice");
        see(&mut database, "alice");
        assert!(matches!(database.add_user("shop", "alice", &account("Mallory")), Err(StoreError::Taken)));
        assert!(matches!(database.add_user("none", "alice", &account("Alice")), Err(StoreError::NoApplication)));
        database.set_user("shop", "alice", &account("Alice")).expect("the operator may");
        see(&mut database, "alice");
        database.write_noted();
        assert!(database.account("shop", "alice").expect("read").expect("there").ha1_sha256.is_some());
    }

    #[test]
    fn a_password_change_is_reported_once_whichever_process_made_it() {
        let path = folder("changes");
        let mut ours = Database::open(&path, Rules::default()).expect("a fresh database");
        ours.add_application(&application()).expect("added");
        ours.add_user("shop", "alice", &account("Alice")).expect("added");
        assert!(ours.password_changes().expect("read").is_empty(), "a new user is no change");
        let theirs = Database::open(&path, Rules::default()).expect("another process");
        theirs.set_user("shop", "alice", &account("Alice B.")).expect("set");
        assert!(ours.password_changes().expect("read").is_empty(), "another name, the same password");
        let other = |password| {
            let hashes = Hashes::new("alice", "localhost", password);
            Account { ha1_sha256: Some(hashes.sha256), ha1_md5: Some(hashes.md5), ..Account::default() }
        };
        theirs.set_users("shop", &[("alice".into(), other("one")), ("bob".into(), other("one"))]).expect("set");
        theirs.set_user("shop", "alice", &other("two")).expect("set");
        let revision = ours.account("shop", "alice").expect("read").expect("there").revision;
        let changes = ours.password_changes().expect("read");
        assert_eq!(changes, [PasswordChange { application: "shop".into(), user: "alice".into(), revision }]);
        assert!(ours.password_changes().expect("read").is_empty());
        theirs.connection.execute("DELETE FROM user WHERE name = 'alice'", []).expect("removed");
        assert!(ours.password_changes().expect("read")[0].revision > revision);
        ours.add_user("shop", "alice", &other("two")).expect("added");
        assert!(ours.account("shop", "alice").expect("read").expect("there").revision > revision, "somebody else of that name");
    }

    #[test]
    fn many_users_are_added_all_or_none() {
        let database = with_application("many");
        let users: Vec<(String, Account)> = (0..100).map(|n| (format!("user{n}"), account("x"))).collect();
        assert!(matches!(database.set_users("none", &users), Err(StoreError::NoApplication)));
        database.set_users("shop", &users).expect("added");
        database.set_users("shop", &users).expect("the operator may, again");
        assert!(database.account("shop", "user99").expect("read").is_some());
    }

    #[test]
    fn only_the_owner_can_read_it() {
        let folder = folder("mode");
        let _database = Database::open(&folder, Rules::default()).expect("a fresh database");
        for entry in fs::read_dir(&folder).expect("the folder") {
            let entry = entry.expect("an entry");
            let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().expect("its mode").permissions());
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
        }
    }

    #[test]
    fn a_newer_database_is_refused() {
        let folder = folder("newer");
        Database::open(&folder, Rules::default()).expect("fresh").connection.pragma_update(None, "user_version", 99).expect("set");
        assert!(matches!(Database::open(&folder, Rules::default()), Err(StoreError::Newer(99))));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let file = folder("file");
        fs::write(&file, "").expect("written");
        let error = Database::open(&file.join("inside"), Rules::default()).err().expect("a file is no folder").to_string();
        assert!(error.contains("inside") && error.contains("OFFHOOK_DATA"), "{error}");
    }

    #[test]
    fn noted_users_are_known_at_once_and_written_together() {
        let folder = folder("noted");
        let mut database = Database::open(&folder, Rules::default()).expect("a fresh database");
        database.add_application(&application()).expect("added");
        (0..100).for_each(|n| see(&mut database, &format!("user{n}")));
        assert!(database.account("shop", "user99").expect("read").is_some());
        database.write_noted();
        drop(database);
        let database = Database::open(&folder, Rules::default()).expect("an existing database");
        assert!(database.account("shop", "user99").expect("read").is_some());
    }

    #[test]
    fn a_user_that_cannot_be_written_is_reported() {
        let mut database = Database::open(&folder("untold"), Rules::default()).expect("a fresh database");
        let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let hears = std::sync::Arc::clone(&told);
        let failed = move |_| hears.store(true, std::sync::atomic::Ordering::Relaxed);
        database.seen("no such application".into(), "alice".into(), Box::new(failed));
        database.write_noted();
        assert!(told.load(std::sync::atomic::Ordering::Relaxed));
        assert!(database.account("no such application", "alice").expect("read").is_none());
    }

    fn see(database: &mut Database, user: &str) {
        database.seen("shop".into(), user.into(), Box::new(|error| panic!("{error}")));
    }

    pub fn with_application(name: &str) -> Database {
        let database = Database::open(&folder(name), Rules::default()).expect("a fresh database");
        database.add_application(&application()).expect("added");
        database
    }

    fn application() -> Application {
        let origins = vec!["https://a.example".into(), "https://b.example:8443".into()];
        Application {
            key: "shop".into(),
            secret: Secret::separate(vec![7; 32]),
            origins,
            allow_new_users: false,
            loopback_only: false,
        }
    }

    fn account(name: &str) -> Account {
        let hashes = Hashes::new("alice", "localhost", "wonderland");
        Account { display_name: name.into(), ha1_sha256: Some(hashes.sha256), ha1_md5: Some(hashes.md5), ..Account::default() }
    }
}
