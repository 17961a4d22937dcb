//! All calls: which of them there are, by what they are found, and how they end. How one rings is in [`forking`].

mod best;
mod call;
mod destination;
mod forking;
mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use offhook_sip::{ApiCode, Name, StatusCode, Uri, reply};
use offhook_ua::log::{Masked, Plain, millis};
use offhook_ua::transaction::ServerKey;
use tracing::info;

use super::Record;
use super::context::Context;
use super::party::{Aor, Flow, Party};
use super::refusal::Refusal;
use super::request::Request;
use super::rewrite::Head;
use super::timers::Timer;
use super::token::Parties;
use best::Best;
use call::{Call, Setup, Stage};
use destination::{from_host, is_emergency, is_outside};
use limits::source;

pub(super) use call::CallKey;

/// How often answered calls are looked at.
const SWEEP: Duration = Duration::from_secs(60);
/// After how many seconds a caller may try again whom an overloaded proxy has refused.
const OVERLOAD: u32 = 5;

/// The calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: BTreeMap<CallKey, Call>,
    /// By the caller's transaction.
    by_invite: BTreeMap<ServerKey, CallKey>,
    /// By application and Call-ID.
    by_call_id: BTreeMap<(String, String), CallKey>,
    /// Those that are not over, by user, caller or callee.
    by_user: BTreeMap<Aor, BTreeSet<CallKey>>,
    /// How many are not over.
    live: usize,
    /// Whether no new ones are taken, as the end is near.
    draining: bool,
    /// Whether no new ones are taken, as more comes in than can be handled in time.
    overloaded: bool,
}

/// Whom an INVITE is for, as its caller may call now.
pub(super) struct Invited {
    callee: Party,
    /// Who the caller is to the callee ([`source`]).
    source: Option<String>,
}

impl Calls {
    /// How many are not over.
    pub(super) const fn live(&self) -> usize {
        self.live
    }

    /// No new ones are taken any more, as the end is near.
    pub(super) const fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether more comes in than can be handled in time: then no new ones are taken.
    pub(super) const fn set_overloaded(&mut self, overloaded: bool) {
        self.overloaded = overloaded;
    }

    /// How many things are remembered.
    pub(super) fn len(&self) -> usize {
        self.calls.len() + self.by_invite.len() + self.by_call_id.len() + self.by_user.len() + self.live
    }

    /// The calls of a user, made or received, that are not over.
    fn of<'a>(&'a self, party: &Party) -> impl Iterator<Item = &'a Call> {
        let keys = party.user().and_then(|aor| self.by_user.get(aor));
        keys.into_iter().flatten().filter_map(|key| self.calls.get(key))
    }

    /// The same, by their keys.
    fn keys_of(&self, aor: &Aor) -> Vec<CallKey> {
        self.by_user.get(aor).into_iter().flatten().copied().collect()
    }

    /// Whether the user is in a call, or one waits for him.
    pub(super) fn has_any(&self, aor: &Aor) -> bool {
        self.by_user.contains_key(aor)
    }

    /// The call whose INVITE this is.
    fn by_invite(&self, invite: &ServerKey) -> Option<(CallKey, &Call)> {
        let key = *self.by_invite.get(invite)?;
        Some((key, self.calls.get(&key)?))
    }

    fn by_call_id(&self, application: &str, call_id: &str) -> Option<(CallKey, &Call)> {
        let key = *self.by_call_id.get(&(application.to_owned(), call_id.to_owned()))?;
        Some((key, self.calls.get(&key)?))
    }

    /// Checks whether this caller may call whom the INVITE is for.
    pub(super) fn check(&self, cx: &Context, request: &Request, caller: &Party) -> Result<Invited, Refusal> {
        const MALFORMED: Refusal = Refusal::malformed("Malformed Request-URI");
        let message = request.message();
        if message.number(Name::MaxForwards) == Some(0) {
            return Err(Refusal::TOO_MANY_HOPS);
        }
        let uri = message.uri().and_then(|uri| Uri::parse(uri).ok()).ok_or(MALFORMED)?;
        if !uri.is_sip() {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_URI_SCHEME, ApiCode::Malformed, "Unsupported URI scheme"));
        }
        let outside = is_outside(cx, &uri, from_host(message), caller)?;
        let emergency = outside && is_emergency(cx, &uri);
        if self.draining && !emergency {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down").after(5));
        }
        if self.overloaded && !emergency {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is overloaded");
            return Err(refusal.after(OVERLOAD));
        }
        let application = caller.application().to_owned();
        let callee = if outside {
            Party::Outside { application }
        } else {
            let user = uri.user_text().into_owned();
            if user.is_empty() || user.len() > offhook_access::ticket::MAX_USER || user.chars().any(char::is_control) {
                return Err(Refusal::new(StatusCode::NOT_FOUND, ApiCode::NotFound, "No such user"));
            }
            Party::User(Aor { application, user })
        };
        if self.by_call_id(caller.application(), request.call_id()).is_some_and(|(_, call)| call.is_live()) {
            let why = "A call with this Call-ID is there already";
            return Err(Refusal::new(StatusCode::LOOP_DETECTED, ApiCode::Malformed, why));
        }
        let source = source(caller, message);
        self.check_limits(&cx.settings, caller, source.as_deref(), &callee, emergency)?;
        Ok(Invited { callee, source })
    }

    /// Begins a call. Returns it with its callee where that is a user, of whom the store has to be asked.
    pub(super) fn begin(&mut self, cx: &mut Context, request: &Request, caller: Party, to: Invited) -> Option<(CallKey, Aor)> {
        let Invited { callee, source } = to;
        let message = request.message();
        let call_id = request.call_id().to_owned();
        let application = cx.application(request.flow)?;
        let token = Parties { caller: caller.clone(), callee: callee.clone() }.token(&application, &call_id);
        let setup = Setup {
            key: request.key.clone(),
            tag: request.tag.clone(),
            invite: Some(request.owned.clone()),
            head: Head::of(message),
            route: format!("<sip:{token}@{};transport=ws;lr>", cx.settings.domain),
            branches: Vec::new(),
            best: Best::default(),
            cancelled: false,
            reason: None,
        };
        cx.respond(&request.key, reply(message, StatusCode::TRYING, None).end());
        log_started(cx, request, &caller, &application.key);
        let flow = request.flow;
        let (stage, setup) = (Stage::Looking, Some(setup));
        let call = Call { stage, call_id, caller, callee, source, flow, answered: None, connected: None, left: None, setup };
        let callee = call.callee.clone();
        let key = self.insert(cx, call);
        match callee {
            Party::User(aor) => Some((key, aor)),
            Party::Outside { application } => {
                self.fork_outside(cx, key, &application);
                None
            }
        }
    }

    fn insert(&mut self, cx: &mut Context, call: Call) -> CallKey {
        let key = CallKey(cx.next_id());
        self.by_invite.extend(call.setup.as_ref().map(|setup| (setup.key.clone(), key)));
        self.by_call_id.insert((call.callee.application().to_owned(), call.call_id.clone()), key);
        for aor in [&call.caller, &call.callee].into_iter().filter_map(|party| party.user()) {
            self.by_user.entry(aor.clone()).or_default().insert(key);
        }
        self.calls.insert(key, call);
        self.live += 1;
        key
    }

    /// A BYE of one of the parties went through: the call is over.
    pub(super) fn hung_up(&mut self, cx: &mut Context, party: &Party, call_id: &str) {
        if let Some((key, call)) = self.by_call_id(party.application(), call_id) {
            let by = if call.caller == *party { "caller" } else { "callee" };
            self.end_answered(cx, key, "completed", Some(by));
        }
    }

    /// An answered call is over; `by`: who has hung up.
    fn end_answered(&mut self, cx: &mut Context, key: CallKey, cause: &'static str, by: Option<&'static str>) {
        let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Answered) else { return };
        let (application, duration) = (call.callee.application(), call.connected.map(|connected| millis(cx.now() - connected)));
        info!(call = %Plain(&call.call_id), application, cause, by, code = 200, duration, "call ended");
        let (call_id, done) = (call.call_id.clone(), call.setup.is_none());
        self.over(key);
        cx.record(Record::CallEnded { call_id, cause, code: StatusCode::OK });
        if done {
            self.forget(key);
        }
    }

    /// A call counts as one no more, though late answers may still come.
    fn over(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.is_live()) else { return };
        call.stage = Stage::Over;
        self.live -= 1;
        for aor in [&call.caller, &call.callee].into_iter().filter_map(|party| party.user()) {
            if let Some(keys) = self.by_user.get_mut(aor) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_user.remove(aor);
                }
            }
        }
    }

    /// No answer to the caller's INVITE can come any more.
    pub(super) fn forget_setup(&mut self, cx: &mut Context, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.take() else { return };
        self.by_invite.remove(&setup.key);
        for (index, branch) in setup.branches.iter().enumerate() {
            cx.clock.clear(&Timer::Branch(key, index));
            cx.abandon(&branch.key);
        }
        for timer in [Timer::Linger(key), Timer::Hold(key), Timer::GiveUp(key)] {
            cx.clock.clear(&timer);
        }
        if call.stage == Stage::Over {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: CallKey) {
        let Some(call) = self.calls.remove(&key) else { return };
        let id = (call.callee.application().to_owned(), call.call_id);
        if self.by_call_id.get(&id) == Some(&key) {
            self.by_call_id.remove(&id);
        }
    }

    /// The page behind a flow was closed: its user comes back into none of the calls that it had there.
    pub(super) fn leave(&mut self, aor: &Aor, flow: Flow) {
        for key in self.by_user.get(aor).into_iter().flatten() {
            let call = self.calls.get_mut(key).filter(|call| call.flow == flow || call.answered == Some(flow));
            call.into_iter().for_each(|call| call.left = Some(aor.clone()));
        }
    }

    /// Whether the party has left the call for good.
    pub(super) fn has_left(&self, party: &Party, call_id: &str) -> bool {
        let call = self.by_call_id(party.application(), call_id);
        call.is_some_and(|(_, call)| call.left.is_some() && call.left.as_ref() == party.user())
    }

    /// Answered calls that both parties have left without a BYE are over.
    pub(super) fn sweep(&mut self, cx: &mut Context) {
        let gone = |flow: Option<Flow>| flow.is_none_or(|flow| cx.connections.resolve(flow).is_none());
        let answered = self.calls.iter().filter(|(_, call)| call.stage == Stage::Answered);
        let lost: Vec<CallKey> =
            answered.filter(|(_, call)| gone(Some(call.flow)) && gone(call.answered)).map(|(key, _)| *key).collect();
        for key in lost {
            self.end_answered(cx, key, "lost", None);
        }
        if self.calls.values().any(|call| call.stage == Stage::Answered) {
            cx.clock.set(Timer::Sweep, SWEEP);
        }
    }
}

/// Records that a call has begun, and says so in the log.
fn log_started(cx: &mut Context, request: &Request, caller: &Party, application: &str) {
    let user_of = |uri: Option<Uri<'_>>| uri.map(|uri| uri.user_text().into_owned()).unwrap_or_default();
    let message = request.message();
    let from = caller.user().map_or_else(|| user_of(message.from().ok().map(|from| from.uri)), |aor| aor.user.clone());
    let to = user_of(message.uri().and_then(|uri| Uri::parse(uri).ok()));
    let (call, conn) = (Plain(request.call_id()), request.flow.number());
    info!(%call, application, from = %Masked(&from), to = %Masked(&to), conn, "call started");
    let (call_id, application) = (request.call_id().to_owned(), application.to_owned());
    cx.record(Record::CallStarted { call_id, application, from, to });
}
