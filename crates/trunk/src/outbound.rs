//! Requests of ours: attempts at one address after the other, with and without credentials, until one final response or a failure.
//!
//! ```text
//!   routed ──▶ sent ── 1xx ──▶ proceeding ── final ──▶ done (2xx to INVITE: retransmissions are passed on) ──▶ forgotten
//!     │         ├── 401, 407 ──▶ sent again with credentials
//!     │         ├── 503, connection refused ──▶ sent to the next address
//!     │         └── time-out ──▶ sent to the next address; an INVITE that responds after all is cancelled, or ended by BYE
//!     └── no path ──▶ Failed
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use offhook_sip::{Branch, Message, Method, Name, OwnedMessage, StatusCode, Writer, parse_text, strongest};
use offhook_ua::TIMEOUT;
use offhook_ua::authentication::again;
use offhook_ua::dialog::Dialog;
use offhook_ua::log::Plain;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Received, Transport};
use tracing::{debug, info, warn};

use super::targets::Hop;
use super::{Event, Output, Timer, Trunks, Wire, text};

/// Time-out of a registrar, after which the next address is tried.
const REGISTER: Duration = Duration::from_secs(16);
/// The same where a registration is taken back: the end waits no longer.
const LEAVE: Duration = Duration::from_secs(2);
/// How often a request is sent again over new connections.
const RESENT: u8 = 2;
/// How long a request that is over may still get responses: 128 * T1.
const LATE: Duration = Duration::from_secs(64);

/// Names a [`Job`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId(pub(super) u64);

/// A request of ours, in all its attempts.
pub(super) struct Job {
    /// The key that the owner knows it by.
    pub(super) key: ClientKey,
    pub(super) owner: Owner,
    pub(super) trunk: usize,
    /// Its Call-ID.
    call_id: String,
    /// As it was last sent.
    pub(super) text: String,
    /// Addresses that were not tried yet.
    pub(super) targets: VecDeque<Hop>,
    /// Where it was sent last.
    pub(super) hop: Option<Hop>,
    /// The transaction of the attempt that lives.
    current: Option<ClientKey>,
    /// The branches of all attempts.
    branches: Vec<Branch>,
    /// Whether it is outside a dialog: then its failure counts for the trunk.
    initial: bool,
    /// Time-out of a response to each attempt; `None`: that of its transaction.
    timeout: Option<Duration>,
    /// Whether the last attempt has the time-out of its transaction.
    persists: bool,
    /// When it was sent last.
    began: Instant,
    /// The highest provisional response.
    provisional: Option<StatusCode>,
    /// How often it was sent again after challenges.
    challenges: u8,
    /// How often it was sent again over a new connection.
    resent: u8,
    cancel: Cancel,
    /// Whether it has its final response.
    done: bool,
}

/// Whom its responses are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The B2BUA.
    Caller,
    /// The supervision of the trunk by OPTIONS.
    Options,
    /// The registration.
    Register,
    /// Nobody any more, or an ACK: an INVITE that is answered after all is ended.
    Nobody,
}

/// Whether it is cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// The CANCEL leaves with the first provisional response (RFC 3261, 9.1).
    Wanted,
    Sent,
}

impl Job {
    /// Whether it waits for its final response.
    pub(super) const fn is_waiting(&self) -> bool {
        self.current.is_some() && !self.done
    }

    /// Whether it is done, or no call and no registration depends on it.
    pub(super) const fn is_settled(&self) -> bool {
        self.done || matches!(self.owner, Owner::Options | Owner::Nobody)
    }

    /// Whether it waits for the resolver.
    pub(super) fn awaits_address(&self) -> bool {
        self.hop.is_none() && self.targets.is_empty()
    }

    fn is_invite(&self) -> bool {
        self.key.method() == Method::Invite
    }
}

impl Trunks {
    /// Begins a request.
    pub(super) fn start_request(&mut self, trunk: Option<usize>, owner: Owner, text: String) -> ClientKey {
        let branch = self.branch();
        let request = parse_text(&text).ok();
        let key = ClientKey::new(branch, Method::from(text.split_once(' ').map_or(&*text, |(method, _)| method)));
        let (Some(trunk), Some(request)) = (trunk, request) else {
            let code = if trunk.is_none() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::SERVER_INTERNAL_ERROR };
            self.push(Output::Event(Event::Failed { key: key.clone(), code }));
            return key;
        };
        let (initial, next) = (request.to_tag().is_none(), self.next_hop(trunk, &request));
        let call_id = request.call_id().unwrap_or_default().to_owned();
        let id = JobId(self.next());
        let silence = Duration::from_millis(self.peers[trunk].config.silence);
        let timeout = match owner {
            Owner::Options => Some(2 * silence),
            Owner::Register => Some(if self.leaving { LEAVE } else { REGISTER }),
            Owner::Caller | Owner::Nobody => (initial && key.method() == Method::Invite).then_some(silence),
        };
        if let Some(timeout) = timeout {
            // The resolver's time counts, too.
            self.timers.set(Timer::Silence(id), self.now + timeout);
        }
        let branches = vec![key.branch().clone()];
        self.branches.insert(key.branch().clone(), id);
        let job = Job {
            key: key.clone(),
            owner,
            trunk,
            call_id,
            text,
            targets: VecDeque::new(),
            hop: None,
            current: None,
            branches,
            initial,
            timeout,
            persists: false,
            began: self.now,
            provisional: None,
            challenges: 0,
            resent: 0,
            cancel: Cancel::No,
            done: false,
        };
        self.jobs.insert(id, job);
        self.route(id, next);
        key
    }

    /// Sends a request to its next target, or, where it was challenged, once more with credentials.
    pub(super) fn attempt(&mut self, id: JobId, challenged: bool) {
        let branch = self.branch();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let next = if challenged { job.hop } else { job.targets.pop_front() };
        let Some(hop) = next else { return self.fail(id, StatusCode::SERVICE_UNAVAILABLE) };
        let mut request = text::put_via(&job.text, &self.settings.via(hop.wire, &branch));
        if let Some(authenticator) = self.peers[job.trunk].authenticator.as_mut() {
            let Some((written, _)) = again(&request, &branch, challenged, authenticator, &mut self.random) else {
                return self.fail(id, StatusCode::SERVER_INTERNAL_ERROR);
            };
            request = written;
        }
        job.text.clone_from(&request);
        if job.key.method() == Method::Ack {
            self.forget(id);
            return self.deliver(hop, request);
        }
        let (trunk, method) = (&self.peers[job.trunk].id.0, job.key.method());
        let (to, wire, credentials) = (hop.address, hop.wire, challenged);
        debug!(call = %Plain(&job.call_id), trunk, method = method.as_str(), %to, ?wire, credentials, "a request is sent");
        let current = ClientKey::new(branch.clone(), job.key.method());
        let hop = self.connect(hop);
        self.transactions.request(self.now, hop, transport(hop.wire), &current, request);
        self.branches.insert(branch, id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.hop = Some(hop);
            job.began = self.now;
            job.branches.push(current.branch().clone());
            job.current = Some(current);
            let last = job.persists && job.targets.is_empty();
            match job.timeout.filter(|_| !last) {
                Some(timeout) => self.timers.set(Timer::Silence(id), self.now + timeout),
                None => self.timers.clear(&Timer::Silence(id)),
            }
        }
        self.flush();
    }

    /// Returns the request of ours that a response is to, and where that went.
    pub(super) fn request_of(&self, answer: &Message<'_>) -> Option<(JobId, Hop)> {
        let id = answer.via().ok()?.branch().and_then(|branch| self.branches.get(branch)).copied()?;
        Some((id, self.jobs.get(&id)?.hop?))
    }

    /// Takes a response in that came from the trunk that has the request.
    pub(super) fn response(&mut self, (id, hop): (JobId, Hop), message: &OwnedMessage) {
        if message.get().check_uac().is_err() {
            return;
        }
        if let Received::Response(client) = self.transactions.receive(self.now, hop, transport(hop.wire), message.get()) {
            self.flush();
            if client.method() != Method::Cancel {
                self.answered(id, message);
            }
        }
    }

    /// Takes a response in that is no retransmission.
    fn answered(&mut self, id: JobId, answer: &OwnedMessage) {
        let message = answer.get();
        let Some((job, code)) = self.jobs.get_mut(&id).zip(message.code()) else { return };
        let (trunk, hop) = (job.trunk, job.hop);
        if code.is_provisional() {
            job.provisional = job.provisional.max(Some(code));
        }
        if matches!(job.cancel, Cancel::No) || code.is_final() {
            self.timers.clear(&Timer::Silence(id));
        }
        if let Some(hop) = hop.filter(|_| code != StatusCode::SERVICE_UNAVAILABLE) {
            self.responded(trunk, hop.address);
        }
        self.learn_path(id, message, code);
        match code {
            _ if code.is_provisional() => self.provisional(id, answer),
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED if self.may_retry(id, message) => {
                self.attempt(id, true)
            }
            StatusCode::SERVICE_UNAVAILABLE if self.unavailable(id, message) => {}
            _ => self.finish(id, answer),
        }
    }

    /// Passes a provisional response on, or cancels an INVITE that nobody waits for any more.
    fn provisional(&mut self, id: JobId, answer: &OwnedMessage) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.owner == Owner::Caller {
            let key = job.key.clone();
            self.push(Output::Event(Event::Response { key, message: answer.clone() }));
        } else if job.owner == Owner::Nobody && job.is_invite() && job.cancel == Cancel::No {
            return self.cancel_attempt(id, None);
        }
        self.watch_cancel(id);
    }

    /// Whether a challenge can be met with our credentials.
    fn may_retry(&mut self, id: JobId, message: &Message<'_>) -> bool {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.cancel == Cancel::No && job.owner != Owner::Nobody) else {
            return false;
        };
        let peer = &mut self.peers[job.trunk];
        let Some(authenticator) = peer.authenticator.as_mut() else { return false };
        let name = if message.code() == Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            Name::ProxyAuthenticate
        } else {
            Name::WwwAuthenticate
        };
        // Where the operator names no realm, the first one counts: the trunk's own, as it gets our first request.
        let named = strongest(message.values(name)).map(|challenge| challenge.realm).unwrap_or_default();
        let home = if peer.config.realm.is_empty() { &named } else { &peer.config.realm };
        if !peer.config.realm.is_empty() && named != peer.config.realm {
            let call = message.call_id().unwrap_or_default();
            warn!(call = %Plain(call), trunk = peer.id.0, realm = %Plain(&named), "credentials are asked for in another realm");
            return false;
        }
        let may = authenticator.challenged(message, job.challenges, home);
        job.challenges = job.challenges.saturating_add(1);
        if !may {
            let (call, code) = (message.call_id().unwrap_or_default(), message.code());
            warn!(call = %Plain(call), trunk = peer.id.0, code = code.map(StatusCode::as_u16), "the trunk does not take our credentials");
        }
        may
    }

    /// Takes a 503 in. Whether the next address is tried.
    fn unavailable(&mut self, id: JobId, message: &Message<'_>) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|job| job.initial && job.owner != Owner::Nobody) else { return false };
        let (trunk, more) = (
            job.trunk,
            !job.targets.is_empty() && job.provisional.is_none_or(|code| code == StatusCode::TRYING) && job.cancel == Cancel::No,
        );
        if let Some(hop) = job.hop {
            let (call, trunk_name) = (Plain(&job.call_id), &self.peers[trunk].id.0);
            debug!(%call, trunk = trunk_name, from = %hop.address, more, "an address of the trunk says 503");
            self.peers[trunk].health.silent(self.now, hop.address);
        }
        if more {
            self.attempt(id, false);
            return true;
        }
        match message.number(Name::RetryAfter) {
            Some(seconds) => {
                info!(trunk = self.peers[trunk].id.0, seconds, "the trunk wants no calls for a while");
                self.peers[trunk].health.rest(self.now, seconds);
            }
            None => self.failed(trunk, "503"),
        }
        false
    }

    /// Takes the final response in, or a retransmission of a 2xx.
    fn finish(&mut self, id: JobId, answer: &OwnedMessage) {
        let message = answer.get();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (owner, trunk, key) = (job.owner, job.trunk, job.key.clone());
        let accepted = job.is_invite() && message.code().is_some_and(|code| !code.is_failure());
        job.done = true;
        // It is not sent again.
        job.text = String::new();
        if accepted {
            self.timers.set(Timer::Forget(id), self.now + LATE);
        } else {
            self.forget(id);
        }
        match owner {
            Owner::Caller => self.push(Output::Event(Event::Response { key, message: answer.clone() })),
            Owner::Options => self.options_ended(trunk),
            Owner::Register => self.registered(trunk, message),
            Owner::Nobody if accepted => self.hang_up(trunk, message),
            Owner::Nobody => {}
        }
    }

    /// Acknowledges a 2xx that nobody waits for any more, and ends its call (RFC 3261, 13.2.2.4 and 15).
    fn hang_up(&mut self, trunk: usize, answer: &Message<'_>) {
        let Some(mut dialog) = Dialog::of_caller(answer) else { return };
        dialog.refresh(answer);
        let ack = with_hops(dialog.acknowledge(dialog.last_number())).end();
        self.start_request(Some(trunk), Owner::Nobody, ack);
        let bye = with_hops(dialog.request(Method::Bye)).end();
        self.start_request(Some(trunk), Owner::Nobody, bye);
    }

    /// Ends a request without a final response; it counts as `code`.
    pub(super) fn fail(&mut self, id: JobId, code: StatusCode) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.timers.clear(&Timer::Silence(id));
        let (owner, trunk, key, initial) = (job.owner, job.trunk, job.key.clone(), job.initial);
        let code = if job.cancel == Cancel::No { code } else { StatusCode::REQUEST_TERMINATED };
        if job.is_invite() && job.current.is_some() {
            // It may still be answered: then it is ended.
            job.owner = Owner::Nobody;
            self.timers.set(Timer::Forget(id), self.now + LATE);
        } else {
            self.forget(id);
        }
        if initial && matches!(code, StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE) && owner != Owner::Nobody {
            self.failed(trunk, if code == StatusCode::REQUEST_TIMEOUT { "silence" } else { "unreachable" });
        }
        match owner {
            Owner::Caller => self.push(Output::Event(Event::Failed { key, code })),
            Owner::Options => self.options_ended(trunk),
            Owner::Register => self.not_registered(trunk, code, None),
            Owner::Nobody => {}
        }
    }

    /// Time-out of a response to an attempt.
    pub(super) fn silence_timeout(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(hop) = job.hop else { return self.fail(id, StatusCode::SERVICE_UNAVAILABLE) };
        let (began, more) = (job.began, !job.targets.is_empty() && job.cancel == Cancel::No);
        if job.cancel == Cancel::No {
            let (call, method) = (Plain(&job.call_id), job.key.method());
            debug!(%call, trunk = self.peers[hop.trunk].id.0, method = method.as_str(), from = %hop.address, more, "an address of the trunk is silent");
            self.peers[hop.trunk].health.silent(self.now, hop.address);
        }
        if more {
            self.leave_attempt(id);
            self.attempt(id, false);
        } else {
            self.fail(id, StatusCode::REQUEST_TIMEOUT);
        }
        if let Some(connection) = hop.connection.filter(|connection| !self.is_alive(*connection, began)) {
            self.disconnect(connection);
        }
    }

    /// Sets an attempt aside before the next one: an INVITE may still be answered, and is ended then.
    fn leave_attempt(&mut self, id: JobId) {
        let left = JobId(self.next());
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(current) = job.current.take() else { return };
        if !job.is_invite() {
            return self.transactions.abandon(&current);
        }
        let job = Job {
            key: current.clone(),
            owner: Owner::Nobody,
            trunk: job.trunk,
            call_id: job.call_id.clone(),
            text: job.text.clone(),
            targets: VecDeque::new(),
            hop: job.hop,
            branches: vec![current.branch().clone()],
            initial: job.initial,
            timeout: None,
            persists: false,
            began: job.began,
            provisional: None,
            challenges: job.challenges,
            resent: RESENT,
            cancel: Cancel::No,
            done: false,
            current: Some(current.clone()),
        };
        self.branches.insert(current.branch().clone(), left);
        self.timers.set(Timer::Forget(left), self.now + LATE);
        self.jobs.insert(left, job);
    }

    /// The connection of a request is gone; `was_open`: it was open before.
    pub(super) fn connection_lost(&mut self, id: JobId, was_open: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(hop) = job.hop else { return };
        if was_open && job.resent < RESENT && job.owner != Owner::Nobody {
            job.resent += 1;
            let request = job.text.clone();
            let hop = self.connect(Hop { connection: None, ..hop });
            if let Some(job) = self.jobs.get_mut(&id) {
                job.hop = Some(hop);
            }
            return self.deliver(hop, request);
        }
        if let Some(current) = job.current.take() {
            self.transactions.abandon(&current);
        }
        let call = Plain(&job.call_id);
        debug!(%call, trunk = self.peers[hop.trunk].id.0, from = %hop.address, was_open, "no connection to an address of the trunk");
        self.peers[hop.trunk].health.silent(self.now, hop.address);
        self.try_next(id, StatusCode::SERVICE_UNAVAILABLE);
    }

    /// Gives the last attempt the time-out of its transaction.
    pub(super) fn persist_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.persists = true;
        if job.hop.is_some() && job.targets.is_empty() {
            self.timers.clear(&Timer::Silence(id));
        }
    }

    /// Timer B or F has fired.
    pub(super) fn timed_out(&mut self, key: &ClientKey) {
        let Some(id) = self.branches.get(key.branch()).copied().filter(|_| key.method() != Method::Cancel) else { return };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.current = None;
            self.try_next(id, StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// Tries the next address, or fails with `code`.
    fn try_next(&mut self, id: JobId, code: StatusCode) {
        let more = self.jobs.get(&id).is_some_and(|job| !job.targets.is_empty() && job.cancel == Cancel::No);
        if more { self.attempt(id, false) } else { self.fail(id, code) }
    }

    /// Cancels an INVITE.
    pub(super) fn cancel_job(&mut self, id: JobId, reason: Option<&str>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.done || job.owner != Owner::Caller || job.cancel != Cancel::No || !job.is_invite() {
            return;
        }
        if job.current.is_none() {
            job.cancel = Cancel::Wanted;
            return self.fail(id, StatusCode::REQUEST_TERMINATED);
        }
        self.cancel_attempt(id, reason);
    }

    /// Cancels the attempt that lives.
    fn cancel_attempt(&mut self, id: JobId, reason: Option<&str>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.cancel = Cancel::Wanted;
        if let Some(current) = &job.current {
            self.transactions.cancel(self.now, current, reason);
            self.flush();
        }
        self.watch_cancel(id);
    }

    /// Starts the time-out of a cancelled INVITE once its CANCEL has left: 64 * T1 (RFC 3261, 9.1).
    fn watch_cancel(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let left = job.current.as_ref().is_some_and(|current| self.transactions.is_cancelled(current));
        if job.cancel == Cancel::Wanted && left {
            job.cancel = Cancel::Sent;
            if job.owner == Owner::Caller {
                self.timers.set(Timer::Silence(id), self.now + TIMEOUT);
            }
        }
    }

    /// Takes note of the path of a dialog with a trunk behind NAT, or forgets it.
    fn learn_path(&mut self, id: JobId, message: &Message<'_>, code: StatusCode) {
        let Some((job, call_id)) = self.jobs.get(&id).zip(message.call_id().ok()) else { return };
        if !self.peers[job.trunk].config.nat {
            return;
        }
        match (job.hop, job.key.method()) {
            (Some(hop), Method::Invite) if code.creates_dialog() => self.paths.learn(call_id, hop),
            (_, Method::Invite) if code.is_failure() && job.initial => self.paths.forget(job.trunk, call_id),
            (_, Method::Bye) if code.is_final() => self.paths.forget(job.trunk, call_id),
            _ => {}
        }
    }

    /// Forgets a request: what still comes belongs to none.
    pub(super) fn forget(&mut self, id: JobId) {
        self.timers.clear(&Timer::Silence(id));
        self.timers.clear(&Timer::Forget(id));
        let Some(job) = self.jobs.remove(&id) else { return };
        if let Some(current) = job.current.filter(|_| !job.done) {
            self.transactions.abandon(&current);
        }
        for branch in job.branches {
            if self.branches.get(&branch) == Some(&id) {
                self.branches.remove(&branch);
            }
        }
    }

    fn branch(&mut self) -> Branch {
        Branch::new(&self.random.token())
    }
}

/// Adds Max-Forwards to a request.
pub(super) fn with_hops(request: Writer) -> Writer {
    request.field("Max-Forwards", "70")
}

pub(super) const fn transport(wire: Wire) -> Transport {
    if matches!(wire, Wire::Udp) { Transport::Unreliable } else { Transport::Reliable }
}
