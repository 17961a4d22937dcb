//! Requests of ours: tries at one address after the other, with and without credentials, until there is one end.
//!
//! ```text
//!   aimed ──▶ sent ── 1xx ──▶ heard ── final ──▶ done (2xx to INVITE: copies are told) ──▶ gone
//!     │         ├── 401, 407 ──▶ sent again with credentials
//!     │         ├── 503, connection refused ──▶ sent to the next address
//!     │         └── silence ──▶ sent to the next address; what was sent is left to nobody, who takes it back when it is heard of
//!     └── no way ──▶ Failed
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
use super::{Event, LinkId, Output, Timer, Trunks, Wire, text};

/// How long a registrar may be silent before the next address is tried.
const REGISTER: Duration = Duration::from_secs(16);
/// The same where a registration is taken back: the end does not wait.
const LEAVE: Duration = Duration::from_secs(2);
/// How often a request is said again over new connections.
const RESENT: u8 = 2;
/// How long answers to a request that is over may still come: 128 * T1.
const LATE: Duration = Duration::from_secs(64);

/// A request of ours, in all its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId(pub(super) u64);

pub(super) struct Job {
    /// What whoever asked knows it by.
    pub(super) key: ClientKey,
    pub(super) owner: Owner,
    pub(super) trunk: usize,
    /// Its Call-ID.
    call_id: String,
    /// As it was last written.
    pub(super) text: String,
    /// Where it has not been sent yet.
    pub(super) targets: VecDeque<Hop>,
    /// Where it was sent.
    pub(super) hop: Option<Hop>,
    /// The transaction that lives.
    current: Option<ClientKey>,
    branches: Vec<Branch>,
    /// Whether it is outside a dialog: then its failure is one of the trunk.
    initial: bool,
    /// How long each try may be met with silence; `None`: as long as its transaction lets it.
    patience: Option<Duration>,
    /// Whether the last try may be met with it for longer.
    persists: bool,
    /// When it was sent.
    began: Instant,
    /// The highest provisional answer.
    heard: Option<StatusCode>,
    /// Whether credentials were shown because they were asked for.
    retried: bool,
    resent: u8,
    cancel: Cancel,
    /// Whether a final answer came.
    done: bool,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever makes the calls.
    Caller,
    /// The watch.
    Options,
    /// The registration.
    Register,
    /// Nobody any more, or an ACK: what still comes is cleaned up.
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// It leaves as soon as something was heard.
    Wanted,
    Sent,
}

impl Job {
    /// Whether a final answer is still to come.
    pub(super) const fn is_waiting(&self) -> bool {
        self.current.is_some() && !self.done
    }

    /// Whether nobody waits for its end.
    pub(super) const fn is_settled(&self) -> bool {
        self.done || matches!(self.owner, Owner::Options | Owner::Nobody)
    }

    /// Whether the resolver has not said yet where to.
    pub(super) fn is_unaimed(&self) -> bool {
        self.hop.is_none() && self.targets.is_empty()
    }

    fn is_invite(&self) -> bool {
        self.key.method() == Method::Invite
    }
}

impl Trunks {
    /// Begins a request.
    pub(super) fn launch(&mut self, trunk: Option<usize>, owner: Owner, text: String) -> ClientKey {
        let branch = self.branch();
        let request = parse_text(&text).ok();
        let method = request.as_ref().and_then(Message::method).unwrap_or(Method::Other(""));
        let key = ClientKey::new(branch, method);
        let (Some(trunk), Some(request)) = (trunk, request) else {
            let code = if trunk.is_none() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::SERVER_INTERNAL_ERROR };
            self.push(Output::Event(Event::Failed { key: key.clone(), code }));
            return key;
        };
        let (initial, next) = (request.to_tag().is_none(), self.next_hop(trunk, &request));
        let call_id = request.call_id().unwrap_or_default().to_owned();
        let id = JobId(self.next());
        let silence = Duration::from_millis(self.peers[trunk].config.silence);
        let patience = match owner {
            Owner::Options => Some(2 * silence),
            Owner::Register => Some(if self.leaving { LEAVE } else { REGISTER }),
            Owner::Caller | Owner::Nobody => (initial && key.method() == Method::Invite).then_some(silence),
        };
        if let Some(patience) = patience {
            // Also for the resolver.
            self.timers.set(Timer::Silence(id), self.now + patience);
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
            patience,
            persists: false,
            began: self.now,
            heard: None,
            retried: false,
            resent: 0,
            cancel: Cancel::No,
            done: false,
        };
        self.jobs.insert(id, job);
        self.aim(id, next);
        key
    }

    /// Sends a request to its next target, or where it was refused, again with credentials.
    pub(super) fn attempt(&mut self, id: JobId, refused: bool) {
        let branch = self.branch();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let next = if refused { job.hop } else { job.targets.pop_front() };
        let Some(hop) = next else { return self.fail(id, StatusCode::SERVICE_UNAVAILABLE) };
        let mut request = text::put_via(&job.text, &self.settings.via(hop.wire, &branch));
        if let Some(authenticator) = self.peers[job.trunk].authenticator.as_mut() {
            let Some((written, _)) = again(&request, &branch, refused, authenticator, &mut self.random) else {
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
        let (to, wire, credentials) = (hop.address, hop.wire, refused);
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
            match job.patience.filter(|_| !last) {
                Some(patience) => self.timers.set(Timer::Silence(id), self.now + patience),
                None => self.timers.clear(&Timer::Silence(id)),
            }
        }
        self.flush();
    }

    /// The request of ours that an answer is to, and where that went.
    pub(super) fn asked_by(&self, answer: &Message<'_>) -> Option<(JobId, Hop)> {
        let id = answer.via().ok()?.branch().and_then(|branch| self.branches.get(branch)).copied()?;
        Some((id, self.jobs.get(&id)?.hop?))
    }

    /// An answer came from whom was asked.
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

    fn answered(&mut self, id: JobId, answer: &OwnedMessage) {
        let message = answer.get();
        let Some((job, code)) = self.jobs.get_mut(&id).zip(message.code()) else { return };
        let (trunk, hop) = (job.trunk, job.hop);
        if code.is_provisional() {
            job.heard = job.heard.max(Some(code));
        }
        if matches!(job.cancel, Cancel::No) || code.is_final() {
            self.timers.clear(&Timer::Silence(id));
        }
        if let Some(hop) = hop.filter(|_| code != StatusCode::SERVICE_UNAVAILABLE) {
            self.alive(trunk, hop.address);
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

    fn provisional(&mut self, id: JobId, answer: &OwnedMessage) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.owner == Owner::Caller {
            let key = job.key.clone();
            self.push(Output::Event(Event::Response { key, message: answer.clone() }));
        } else if job.owner == Owner::Nobody && job.is_invite() && job.cancel == Cancel::No {
            return self.take_back(id, None);
        }
        self.see_cancel(id);
    }

    /// Whether a challenge can be met.
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
        // Where the operator names no realm, the first one counts: the trunk's own, as it is the first whom we ask anything.
        let named = strongest(message.values(name)).map(|challenge| challenge.realm).unwrap_or_default();
        let home = if peer.config.realm.is_empty() { &named } else { &peer.config.realm };
        if !peer.config.realm.is_empty() && named != peer.config.realm {
            let call = message.call_id().unwrap_or_default();
            warn!(call = %Plain(call), trunk = peer.id.0, realm = %Plain(&named), "credentials are asked for in another realm");
            return false;
        }
        let may = authenticator.challenged(message, job.retried, home);
        job.retried = true;
        if !may {
            let (call, code) = (message.call_id().unwrap_or_default(), message.code());
            warn!(call = %Plain(call), trunk = peer.id.0, code = code.map(StatusCode::as_u16), "the trunk does not take our credentials");
        }
        may
    }

    /// Takes a 503 in. Whether the next address was tried.
    fn unavailable(&mut self, id: JobId, message: &Message<'_>) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|job| job.initial && job.owner != Owner::Nobody) else { return false };
        let (trunk, more) = (
            job.trunk,
            !job.targets.is_empty() && job.heard.is_none_or(|code| code == StatusCode::TRYING) && job.cancel == Cancel::No,
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

    /// The final answer, or a copy of a 2xx.
    fn finish(&mut self, id: JobId, answer: &OwnedMessage) {
        let message = answer.get();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (owner, trunk, key) = (job.owner, job.trunk, job.key.clone());
        let accepted = job.is_invite() && message.code().is_some_and(|code| !code.is_failure());
        job.done = true;
        if accepted {
            self.timers.set(Timer::Forget(id), self.now + LATE);
        } else {
            self.forget(id);
        }
        match owner {
            Owner::Caller => self.push(Output::Event(Event::Response { key, message: answer.clone() })),
            Owner::Options => self.watched(trunk),
            Owner::Register => self.registered(trunk, message),
            Owner::Nobody if accepted => self.release(trunk, message),
            Owner::Nobody => {}
        }
    }

    /// Somebody has accepted what nobody waits for any more: the call is acknowledged and ended (RFC 3261, 13.2.2.4 and 15).
    fn release(&mut self, trunk: usize, answer: &Message<'_>) {
        let Some(mut dialog) = Dialog::of_caller(answer) else { return };
        dialog.refresh(answer);
        let ack = with_hops(dialog.acknowledge(dialog.last_number())).end();
        self.launch(Some(trunk), Owner::Nobody, ack);
        let bye = with_hops(dialog.request(Method::Bye)).end();
        self.launch(Some(trunk), Owner::Nobody, bye);
    }

    /// A request has come to nothing.
    pub(super) fn fail(&mut self, id: JobId, code: StatusCode) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.timers.clear(&Timer::Silence(id));
        let (owner, trunk, key, initial) = (job.owner, job.trunk, job.key.clone(), job.initial);
        let code = if job.cancel == Cancel::No { code } else { StatusCode::REQUEST_TERMINATED };
        if job.is_invite() && job.current.is_some() {
            // It may still be answered: then it is taken back.
            job.owner = Owner::Nobody;
            self.timers.set(Timer::Forget(id), self.now + LATE);
        } else {
            self.forget(id);
        }
        if initial && matches!(code, StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE) && owner != Owner::Nobody {
            self.failed(trunk, if code == StatusCode::REQUEST_TIMEOUT { "silence" } else { "no way" });
        }
        match owner {
            Owner::Caller => self.push(Output::Event(Event::Failed { key, code })),
            Owner::Options => self.watched(trunk),
            Owner::Register => self.not_registered(trunk, code, None),
            Owner::Nobody => {}
        }
    }

    /// Nothing was heard of a request for too long.
    pub(super) fn silent(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(hop) = job.hop else { return self.fail(id, StatusCode::SERVICE_UNAVAILABLE) };
        let (began, more) = (job.began, !job.targets.is_empty() && job.cancel == Cancel::No);
        if job.cancel == Cancel::No {
            let (call, method) = (Plain(&job.call_id), job.key.method());
            debug!(%call, trunk = self.peers[hop.trunk].id.0, method = method.as_str(), from = %hop.address, more, "an address of the trunk is silent");
            self.peers[hop.trunk].health.silent(self.now, hop.address);
        }
        if more {
            self.set_aside(id);
            self.attempt(id, false);
        } else {
            self.fail(id, StatusCode::REQUEST_TIMEOUT);
        }
        if !self.is_alive(hop.link, began) {
            self.disconnect(hop.link);
        }
    }

    /// Leaves a try to nobody, before the next one.
    fn set_aside(&mut self, id: JobId) {
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
            patience: None,
            persists: false,
            began: job.began,
            heard: None,
            retried: job.retried,
            resent: RESENT,
            cancel: Cancel::No,
            done: false,
            current: Some(current.clone()),
        };
        self.branches.insert(current.branch().clone(), left);
        self.timers.set(Timer::Forget(left), self.now + LATE);
        self.jobs.insert(left, job);
    }

    /// The connection under a request is gone; `was_open`: it stood.
    pub(super) fn stranded(&mut self, id: JobId, was_open: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(hop) = job.hop else { return };
        if was_open && job.resent < RESENT && job.owner != Owner::Nobody {
            job.resent += 1;
            let request = job.text.clone();
            let hop = self.connect(Hop { link: LinkId(0), ..hop });
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
        self.move_on(id, StatusCode::SERVICE_UNAVAILABLE);
    }

    /// Silence of the last address has no end but that of the transaction.
    pub(super) fn be_patient(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.persists = true;
        if job.hop.is_some() && job.targets.is_empty() {
            self.timers.clear(&Timer::Silence(id));
        }
    }

    /// Timer B or F.
    pub(super) fn timed_out(&mut self, key: &ClientKey) {
        let Some(id) = self.branches.get(key.branch()).copied().filter(|_| key.method() != Method::Cancel) else { return };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.current = None;
            self.move_on(id, StatusCode::REQUEST_TIMEOUT);
        }
    }

    /// Tries the next address, or gives up with `code`.
    fn move_on(&mut self, id: JobId, code: StatusCode) {
        let more = self.jobs.get(&id).is_some_and(|job| !job.targets.is_empty() && job.cancel == Cancel::No);
        if more { self.attempt(id, false) } else { self.fail(id, code) }
    }

    /// Takes an INVITE back.
    pub(super) fn cancel_job(&mut self, id: JobId, reason: Option<&str>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.done || job.owner != Owner::Caller || job.cancel != Cancel::No || !job.is_invite() {
            return;
        }
        if job.current.is_none() {
            job.cancel = Cancel::Wanted;
            return self.fail(id, StatusCode::REQUEST_TERMINATED);
        }
        self.take_back(id, reason);
    }

    fn take_back(&mut self, id: JobId, reason: Option<&str>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.cancel = Cancel::Wanted;
        if let Some(current) = &job.current {
            self.transactions.cancel(self.now, current, reason);
            self.flush();
        }
        self.see_cancel(id);
    }

    /// Who does not answer the INVITE for so long after its CANCEL has left never will (RFC 3261, 9.1).
    fn see_cancel(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let left = job.current.as_ref().is_some_and(|current| self.transactions.is_cancelled(current));
        if job.cancel == Cancel::Wanted && left {
            job.cancel = Cancel::Sent;
            if job.owner == Owner::Caller {
                self.timers.set(Timer::Silence(id), self.now + TIMEOUT);
            }
        }
    }

    /// A dialog with a trunk behind NAT goes on where it began.
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

    /// No answer is waited for any more.
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

/// The request with the number of hops that it may take.
pub(super) fn with_hops(request: Writer) -> Writer {
    request.field("Max-Forwards", "70")
}

pub(super) const fn transport(wire: Wire) -> Transport {
    if matches!(wire, Wire::Udp) { Transport::Unreliable } else { Transport::Reliable }
}
