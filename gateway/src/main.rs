//! The command line of the gateway.

mod cli;

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use offhook_access::secret::{Secret, Use};
use offhook_gateway::config::{Config, Overrides};
use offhook_gateway::store::{Application, Hashes, LOOPBACK, Store, StoreError, check_name, decode_secret, encode_secret, random};
use offhook_gateway::{log, server};
use offhook_proxy::Account;

use self::cli::{CdrCommand, CreditCommand, NumberCommand, RateCommand};

/// The allocator. That of the C library coalesces what a burst of calls has freed all at once, which delays new calls.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The back end of Offhook: registers users, connects their calls, serves the demo page.
///
/// Without a configuration it serves http://127.0.0.1:8080 to this machine. When it is ready, it prints one line on standard
/// output, `ready http://127.0.0.1:8080`; its log goes to standard error. SIGTERM: it accepts no new calls, waits for the end of
/// those that exist, and stops. SIGHUP: it reads the certificate again.
#[derive(Parser)]
#[command(name = "offhook-gateway", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    overrides: Overrides,
    /// Only check the configuration
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  offhook-gateway                                             the demo on this machine
  offhook-gateway --port 0 --data ./offhook-data              any free port, another folder
  offhook-gateway --config /etc/offhook.toml --check          is this file right?
  offhook-gateway application add shop --origin https://shop.example
  offhook-gateway application keys shop                       what its pages and back ends sign with
  echo 'the password' | offhook-gateway user add shop alice
  offhook-gateway user import shop < users.txt                name and password on each line
  offhook-gateway rate set 46 0.02 --increment 6              what a minute to Sweden costs
  offhook-gateway credit add shop 10                          what the application may spend
  offhook-gateway number add shop +46812345678 --user alice   calls to it ring alice, hers show it

Every field of the configuration file, with its default: offhook.toml beside the source of the gateway.";

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Applications: whose pages may use the gateway; a running gateway sees changes after a restart
    #[command(subcommand)]
    Application(ApplicationCommand),
    /// Users with a password
    #[command(subcommand)]
    User(UserCommand),
    /// Accounts: what applications may spend on calls
    #[command(subcommand)]
    Credit(CreditCommand),
    /// Prices of calls
    #[command(subcommand)]
    Rate(RateCommand),
    /// Phone numbers: which user they ring, and whose calls show them
    #[command(subcommand)]
    Number(NumberCommand),
    /// Call records
    #[command(subcommand)]
    Cdr(CdrCommand),
}

#[derive(Subcommand)]
enum ApplicationCommand {
    /// Add an application and print its key and its secrets, one for each use
    Add(AddApplication),
    /// List the applications, without their secrets
    List,
    /// Set the origins of an application, in place of those it had; none: no page may use it
    Origins(SetOrigins),
    /// Print the secrets of an application again
    Keys {
        /// Its public key
        key: String,
    },
    /// Make new secrets, if the old ones may be known to others, and print them: after the next start only these are valid
    Renew {
        /// Its public key
        key: String,
    },
    /// End the time in which one secret signs everything: after the next start only those that `keys` prints are valid
    Separate {
        /// Its public key
        key: String,
    },
}

#[derive(Args)]
struct AddApplication {
    /// Its public key: letters, digits, `-`, `_` and `.` [default: a random UUID]
    key: Option<String>,
    #[command(flatten)]
    pages: Pages,
    /// Allow pages to create users (newUser). The application then accepts no tickets or JWTs of a back end: somebody else could
    /// have taken the name of a user before the first ticket for it
    #[arg(long)]
    allow_new_users: bool,
    /// Read an existing secret (base64, 16 octets or more) from standard input. It signs tickets, JWTs and requests until
    /// `application separate`
    #[arg(long, conflicts_with = "allow_new_users")]
    secret_stdin: bool,
}

#[derive(Args)]
struct SetOrigins {
    /// Its public key
    key: String,
    #[command(flatten)]
    pages: Pages,
}

/// The pages that may use an application.
#[derive(Args)]
struct Pages {
    /// Origin of pages that may use it, as they send it, such as https://shop.example:8443 or capacitor://localhost; pages of files send null, in
    /// some apps file://; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Allow pages of this machine, on any port
    #[arg(long)]
    loopback: bool,
}

impl Pages {
    /// Returns their origins.
    fn origins(self) -> Result<Vec<String>, Failure> {
        let Self { mut origins, loopback } = self;
        if let Some(origin) = origins.iter().find(|origin| !server::is_origin(origin)) {
            return Err(format!(
                "{origin:?} is no origin; write it as browsers do: https://shop.example, http://shop.example:8080, \
                 capacitor://localhost, or null or file:// for pages of files"
            )
            .into());
        }
        if loopback {
            origins.push(LOOPBACK.into());
        }
        Ok(origins)
    }
}

#[derive(Subcommand)]
enum UserCommand {
    /// Add a user, or change the password of one; the password is read from standard input
    Add(AddUser),
    /// Add many users, or change their passwords: on each line of standard input a name and a password with a blank between them
    Import(ImportUsers),
}

#[derive(Args)]
struct AddUser {
    /// Key of the application
    application: String,
    /// User name: 1 to 40 printable ASCII characters, not in the form of a phone number
    name: String,
    /// The name that callees see
    #[arg(long, default_value = "")]
    display_name: String,
}

#[derive(Args)]
struct ImportUsers {
    /// Key of the application
    application: String,
}

/// An error that ends the program; its message is for the operator.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offhook-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    fn run(self) -> Result<(), Failure> {
        let config = Config::load(&self.overrides)?;
        if self.check {
            server::check(&config)?;
            println!("the configuration is right");
            return Ok(());
        }
        log::start(&config.log);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = match self.command {
            None | Some(Command::Serve) => runtime.block_on(server::run(config, ready)).map_err(Failure::from),
            Some(Command::Application(command)) => runtime.block_on(command.run(&config)),
            Some(Command::User(UserCommand::Add(add))) => runtime.block_on(add.run(&config)),
            Some(Command::User(UserCommand::Import(import))) => runtime.block_on(import.run(&config)),
            Some(Command::Credit(command)) => runtime.block_on(command.run(&config)),
            Some(Command::Rate(command)) => runtime.block_on(command.run(&config)),
            Some(Command::Number(command)) => runtime.block_on(command.run(&config)),
            Some(Command::Cdr(command)) => runtime.block_on(command.run(&config)),
        };
        // Does not wait for connections that are still open.
        runtime.shutdown_background();
        result
    }
}

/// Prints the only line on standard output.
fn ready(url: &str) {
    let mut out = std::io::stdout().lock();
    // If nobody reads it, the gateway serves nevertheless.
    drop(writeln!(out, "ready {url}").and_then(|()| out.flush()));
}

impl ApplicationCommand {
    async fn run(self, config: &Config) -> Result<(), Failure> {
        let store = Store::open(&config.data.folder, config.phone.rules())?;
        match self {
            Self::Add(add) => add.run(&store).await,
            Self::List => {
                for application in store.applications().await? {
                    let new_users = if application.allow_new_users { "new users" } else { "-" };
                    println!("{}\t{}\t{new_users}", application.key, application.origins.join(" "));
                }
                Ok(())
            }
            Self::Origins(SetOrigins { key, pages }) => Ok(store.set_origins(key, pages.origins()?).await?),
            Self::Keys { key } => {
                let found = store.applications().await?.into_iter().find(|application| application.key == key);
                print_keys(&found.ok_or(StoreError::NoApplication)?);
                Ok(())
            }
            Self::Renew { key } => {
                store.renew(key.clone(), Secret::separate(random(32))).await?;
                let found = store.applications().await?.into_iter().find(|application| application.key == key);
                print_keys(&found.ok_or(StoreError::NoApplication)?);
                Ok(())
            }
            Self::Separate { key } => Ok(store.separate(key).await?),
        }
    }
}

/// Prints the keys that pages and back ends of an application sign with.
fn print_keys(application: &Application) {
    let Application { key, secret, allow_new_users, .. } = application;
    println!("key {key}");
    if secret.is_shared() {
        println!("secret {}", encode_secret(secret.octets()));
    }
    // Where pages create users, tickets and JWTs are not accepted.
    for what in Use::ALL.into_iter().filter(|what| !allow_new_users || *what == Use::Rest) {
        println!("{}-secret {}", what.as_str(), encode_secret(secret.key(what)));
    }
}

impl AddApplication {
    async fn run(self, store: &Store) -> Result<(), Failure> {
        let key = self.key.unwrap_or_else(uuid);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.is_empty() || key.len() > 64 || !key.chars().all(plain) {
            return Err("a key has 1 to 64 letters, digits, `-`, `_` and `.`".into());
        }
        let origins = self.pages.origins()?;
        let secret = if self.secret_stdin {
            let known = decode_secret(&standard_input("secret")?).ok_or("the secret must be base64 of 16 octets or more")?;
            Secret::shared(known)
        } else {
            Secret::separate(random(32))
        };
        let allow_new_users = self.allow_new_users;
        let application = Application { key, secret, origins, allow_new_users, loopback_only: false };
        let added = store.add_application(application.clone()).await;
        added.map_err(|error| format!("application {}: {error}", application.key))?;
        print_keys(&application);
        Ok(())
    }
}

impl AddUser {
    async fn run(self, config: &Config) -> Result<(), Failure> {
        let password = standard_input("password")?;
        let account = account(&self.name, &password, self.display_name, config)?;
        let store = Store::open(&config.data.folder, config.phone.rules())?;
        store
            .set_user(self.application.clone(), self.name, account)
            .await
            .map_err(|error| format!("{}: {error}", self.application))?;
        println!("added");
        Ok(())
    }
}

impl ImportUsers {
    async fn run(self, config: &Config) -> Result<(), Failure> {
        let mut users = Vec::new();
        for (number, line) in std::io::stdin().lines().enumerate() {
            let line = line?;
            let (name, password) = line.split_once(' ').ok_or_else(|| format!("line {}: no password", number + 1))?;
            let account =
                account(name, password, String::new(), config).map_err(|error| format!("line {}: {error}", number + 1))?;
            users.push((name.to_owned(), account));
        }
        let count = users.len();
        let store = Store::open(&config.data.folder, config.phone.rules())?;
        store.set_users(self.application.clone(), users).await.map_err(|error| format!("{}: {error}", self.application))?;
        println!("added {count}");
        Ok(())
    }
}

/// Returns the account of a user that the operator adds.
fn account(name: &str, password: &str, display_name: String, config: &Config) -> Result<Account, Failure> {
    check_name(name)?;
    if password.is_empty() || password.len() > 256 {
        return Err("a password has 1 to 256 octets".into());
    }
    let hashes = Hashes::new(name, &config.sip.domain, password);
    Ok(Account { display_name, ha1_sha256: Some(hashes.sha256), ha1_md5: Some(hashes.md5), ..Account::default() })
}

/// Reads a line from standard input, which other users of the machine cannot see, unlike the arguments of a process.
fn standard_input(what: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        eprintln!("{what} (it will be shown), then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin().take(4_096).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn uuid() -> String {
    let seed = random(32).try_into().expect("32 octets were asked for");
    offhook_ua::random::Random::new(seed).uuid()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn what_is_documented_can_be_called() {
        let texts = documents();
        let documented: Vec<Vec<String>> = texts.iter().flat_map(|text| text.lines().filter_map(call)).collect();
        assert!(documented.len() > 20, "the examples are found: {documented:?}");
        for words in &documented {
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
        for command in Cli::command().get_subcommands().map(clap::Command::get_name).filter(|name| *name != "serve") {
            assert!(
                documented.iter().any(|words| words.get(1).is_some_and(|word| word == command)),
                "no example shows `{command}`"
            );
        }
    }

    /// Prose may name a command without its arguments.
    #[test]
    fn what_prose_names_is_a_command() {
        let texts = documents();
        let spans = texts.iter().flat_map(|text| text.split('`')).filter(|span| !span.contains('\n')).filter_map(call);
        let named: Vec<Vec<String>> = spans.filter(|words| words.len() > 1).collect();
        assert!(named.len() > 10, "the commands are found: {named:?}");
        for words in named {
            if let Err(error) = Cli::try_parse_from(&words) {
                let incomplete = [
                    ErrorKind::DisplayHelp,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::MissingSubcommand,
                ];
                assert!(incomplete.contains(&error.kind()), "{words:?}: {error}");
            }
        }
    }

    /// All documents that mention commands.
    fn documents() -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let documents = std::fs::read_dir(folder).expect("the documents").flatten().map(|entry| entry.path());
        let texts = documents.map(|path| std::fs::read_to_string(path).expect("a text"));
        texts.chain([EXAMPLES, include_str!("../../README.md"), include_str!("../offhook.toml")].map(str::to_owned)).collect()
    }

    /// The words of a command line: quoted text is one word; the line ends at two blanks, `#` or `<`.
    fn call(line: &str) -> Option<Vec<String>> {
        let line = line.trim_start_matches(['#', ' ']);
        let line = line.split_once(" | ").map_or(line, |(_, line)| line);
        let line = line.split(['#', '<']).next()?.split("  ").next().filter(|line| line.starts_with("offhook-gateway"))?;
        let words = line
            .split('"')
            .enumerate()
            .flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
        Some(words.map(str::to_owned).collect())
    }
}
