//! Servers that are asked over HTTP what they are, by a GET of the address of their WebSocket: a server that nobody has named, before anything is
//! sent to it, and all of them where `start` has reached none, so that its error says why.
//!
//! ```text
//! start ── a server that nobody has named ──▶ asked ── a gateway ────▶ used
//!                                               └───── anything else ──▶ the servers of the configuration
//! start ── no server can be reached ────────▶ all are asked ─────────▶ StartFailed, with what each has said
//! ```

use std::borrow::Cow;
use std::time::Duration;

use super::Client;
use super::io::{Finding, Output, Page};
use super::timers::Timer;

/// How long the answers may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Servers that were asked.
pub struct Inquiry {
    purpose: Purpose,
    /// Those that have not answered yet.
    waiting: Vec<String>,
    found: Vec<(String, Finding)>,
}

/// What is known of a failure before the server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was not reached.
    Unreached(Cow<'static, str>),
    /// It was, and did not serve.
    Closed(Cow<'static, str>),
}

impl Failure {
    /// Returns its sentence, without a full stop.
    #[must_use]
    pub fn into_text(self) -> Cow<'static, str> {
        match self {
            Self::Unreached(text) | Self::Closed(text) => text,
        }
    }
}

enum Purpose {
    /// Whether the server that nobody has named is used.
    Choose,
    /// Why `start` fails.
    Explain,
}

impl Client {
    /// Asks the server that nobody has named whether it is a gateway. Its address has no key yet: it may be a stranger's.
    pub(super) fn choose_server(&mut self) {
        self.missed = None;
        self.failures.clear();
        self.connection.begin();
        match &self.context.config.unnamed {
            Some(unnamed) => {
                let address = without_query(&unnamed.url).to_owned();
                self.ask(Purpose::Choose, vec![address]);
            }
            None => self.connection.open(&mut self.context),
        }
    }

    /// Asks all servers why they cannot be reached; then `start` fails.
    pub(super) fn explain(&mut self) {
        self.connection.close(&mut self.context);
        let servers = self.context.config.servers.clone();
        self.ask(Purpose::Explain, servers);
    }

    /// Takes what a server has said.
    pub(super) fn handle_finding(&mut self, url: &str, finding: Finding) {
        let Some(inquiry) = &mut self.inquiry else { return };
        let Some(position) = inquiry.waiting.iter().position(|waiting| waiting == url) else { return };
        inquiry.found.push((inquiry.waiting.remove(position), finding));
        self.conclude();
    }

    /// The servers that have not answered will not do so.
    pub(super) fn end_inquiry(&mut self) {
        if let Some(inquiry) = &mut self.inquiry {
            let late = inquiry.waiting.drain(..).map(|url| (url, Finding::Late));
            inquiry.found.extend(late);
            self.conclude();
        }
    }

    /// Asks no longer.
    pub(super) fn drop_inquiry(&mut self) {
        self.context.timers.stop(Timer::Inquiry);
        self.inquiry = None;
    }

    fn ask(&mut self, purpose: Purpose, servers: Vec<String>) {
        self.context.timers.set(Timer::Inquiry, self.context.now + LIMIT);
        for url in servers.clone() {
            self.context.push(Output::Ask { url });
        }
        self.inquiry = Some(Inquiry { purpose, waiting: servers, found: Vec::new() });
    }

    fn conclude(&mut self) {
        let Some(inquiry) = self.inquiry.take_if(|inquiry| inquiry.waiting.is_empty()) else { return };
        self.context.timers.stop(Timer::Inquiry);
        match inquiry.purpose {
            Purpose::Choose => self.chosen(inquiry.found),
            Purpose::Explain => {
                let found: Vec<_> = self.missed.take().into_iter().chain(inquiry.found).collect();
                self.start_fails(&found);
            }
        }
    }

    /// Uses the server that nobody has named where it is a gateway, also one that refuses: then it says why.
    fn chosen(&mut self, found: Vec<(String, Finding)>) {
        let config = &mut self.context.config;
        let is_gateway = found.iter().all(|(_, finding)| finding.is_gateway());
        if let Some(unnamed) = config.unnamed.take_if(|_| is_gateway) {
            (config.servers, config.domain) = (vec![unnamed.url], unnamed.domain);
        } else if config.servers.is_empty() {
            return self.start_fails(&found);
        } else {
            self.missed = found.into_iter().next();
        }
        self.connection.open(&mut self.context);
    }

    fn start_fails(&mut self, found: &[(String, Finding)]) {
        let why = explanation(found, &self.failures, &self.context.config.page);
        let verdict = self.account.unreachable(&mut self.context, why.into());
        self.apply(verdict);
    }
}

impl Finding {
    /// Whether it is a gateway, which may refuse.
    #[must_use]
    pub const fn is_gateway(&self) -> bool {
        matches!(self, Self::Gateway | Self::Refused { .. })
    }
}

/// What errors say of a page that is not secure.
pub const INSECURE: &str = "This page itself is not secure: browsers give the microphone to pages over https or on localhost only.";

/// Returns what an error says of servers that were asked. `failures`: what was known of them before.
#[must_use]
pub fn explanation(found: &[(String, Finding)], failures: &[(String, Failure)], page: &Page) -> String {
    let mut text = String::new();
    for (url, finding) in found {
        let failure = failures.iter().rev().find(|(failed, _)| failed == url).map(|(_, failure)| failure);
        text.push_str(&sentence(url, finding, failure, page));
        text.push(' ');
    }
    if !page.secure {
        text.push_str(INSECURE);
        text.push(' ');
    }
    text.push_str(&page.places);
    text.trim_end().to_owned()
}

fn sentence(url: &str, finding: &Finding, failure: Option<&Failure>, page: &Page) -> String {
    let host = host(url);
    match finding {
        Finding::Gateway => match failure {
            Some(Failure::Closed(why)) => format!("{why}. It is the gateway at {host}: its log says why."),
            Some(Failure::Unreached(why)) => {
                format!(
                    "{why}, though a gateway answers at {host}. Does a proxy in between pass all requests on, WebSockets included?"
                )
            }
            None => format!("The gateway at {host} answers."),
        },
        Finding::Refused { reason, said, wait } => refusal(url, reason, said, *wait, page),
        Finding::Foreign(status) => {
            let status = status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
            format!("What answers at {}{status} is no gateway: check the address of the server.", place(url))
        }
        Finding::Silent => {
            let certificate = if url.starts_with("wss:") { "that its certificate is valid, " } else { "" };
            format!(
                "Nothing answers at {host}: check the address of the server, that it runs, {certificate}and that no policy of the page blocks it. \
                 A gateway with too many connections answers nothing either."
            )
        }
        Finding::Late => format!("{host} did not answer in time: check the address of the server, and that it runs."),
        Finding::Insecure => {
            format!(
                "Browsers let a page over https reach servers over https and wss only: {host} needs a certificate, and its address https."
            )
        }
    }
}

/// The reasons are those of the gateway.
fn refusal(url: &str, reason: &str, said: &str, wait: Option<u32>, page: &Page) -> String {
    let (host, application) = (host(url), &page.application);
    match (reason, wait) {
        ("unknown application", _) if !url.contains("key=") => {
            format!(
                "{} knows no application without a key: add ?key={application} to the address, or give an http or https one.",
                place(url)
            )
        }
        ("unknown application", _) => {
            format!("The server at {host} does not know the application \"{application}\": check applicationKey.")
        }
        ("origin", _) => format!(
            "The server at {host} does not let pages of {} use the application \"{application}\": its operator has to allow this origin.",
            page.origin
        ),
        ("loopback only", _) => format!(
            "The application \"{application}\" of the server at {host} is for pages on the server's own machine only: open the page there on \
             localhost, or use another application."
        ),
        (_, Some(wait)) => format!("The server at {host} refuses for now: {said}. Try again in {wait} s."),
        _ => format!("The server at {host} refuses: {said}."),
    }
}

fn host(url: &str) -> &str {
    place(url).split('/').next().unwrap_or_default()
}

/// Host and path, without what may be a secret.
fn place(url: &str) -> &str {
    let place = without_query(url).split_once("://").map_or(url, |(_, place)| place);
    let end = place.find('/').unwrap_or(place.len());
    place.get(..end).and_then(|host| host.rfind('@')).and_then(|at| place.get(at + 1..)).unwrap_or(place)
}

/// The address of a server that nobody has named: without the key, as it may be a stranger's.
#[must_use]
pub fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
