//! INVITEs that make a call: to whom, to which devices, and what the caller hears (RFC 3261, 16; the stages are drawn in
//! [`super::call`]).

use std::borrow::Cow;
use std::time::Duration;

use offhook_sip::{ApiCode, Class, Message, Method, Name, StatusCode, Uri, reasons, reply};
use offhook_ua::TIMEOUT;
use offhook_ua::log::{Masked, Plain, millis};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Transport};
use tracing::{debug, info};

use super::admission::Request;
use super::best::{Best, passed_on};
use super::call::{Branch, Call, CallKey, Progress, Setup, Stage};
use super::party::{Aor, Flow, Party};
use super::refusal::Refusal;
use super::rewrite::{Head, Onward, forward, restore};
use super::room::source;
use super::timers::Timer;
use super::token::Parties;
use super::{Hub, Leg, Pending, Record};
use crate::registrar::{Binding, Device};
use crate::test_number::TestNumber;

/// How long a device may ring: Timer C, longer than three minutes (RFC 3261, 16.6, step 11).
const RING: Duration = Duration::from_secs(185);
/// How long a device may take to say that it stopped: one that sleeps with its connection open must not keep the caller.
const GIVE_UP: Duration = Duration::from_secs(2);
/// After how many seconds a caller may try again whom an overloaded switch has refused.
const OVERLOAD: u32 = 5;
/// How many devices one call may try.
const BRANCHES: usize = 32;
const ANSWERED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
const DECLINED: &str = "SIP;cause=603;text=\"Declined\"";

impl Hub {
    pub(super) fn invite(&mut self, now: Instant, request: &Request, caller: Party) {
        let source = source(&caller, request.message());
        let callee = match self.invited(request, &caller, &source) {
            Ok(callee) => callee,
            Err(refusal) => return self.refuse(now, request, refusal),
        };
        self.learn(now, request.flow, request.message());
        let call_id = request.message().call_id().unwrap_or_default().to_owned();
        let Some(application) = self.application(request.flow) else { return };
        let token = Parties { caller: caller.clone(), callee: callee.clone() }.token(&application, &call_id);
        let setup = Setup {
            key: request.key.clone(),
            invite: Some(request.owned.clone()),
            head: Head::of(request.message()),
            route: ["<sip:", &token, "@", &self.settings.domain, ";transport=ws;lr>"].concat(),
            branches: Vec::new(),
            best: Best::default(),
            cancelled: false,
            reason: None,
        };
        self.respond(now, &request.key, reply(request.message(), StatusCode::TRYING, None).end());
        let from =
            if caller.is_outside() { said(request.message().from().ok().map(|from| from.uri)) } else { caller.name().to_owned() };
        let to = said(request.message().uri().and_then(|uri| Uri::parse(uri).ok()));
        let call = Plain(&call_id);
        let conn = request.flow.number();
        info!(%call, application = application.key, from = %Masked(&from), to = %Masked(&to), conn, "call started");
        self.record(Record::CallStarted { call_id: call_id.clone(), application: application.key, from, to });
        let call = Call {
            stage: Stage::Looking,
            call_id,
            caller,
            callee,
            source,
            flow: request.flow,
            answered: None,
            connected: None,
            left: None,
            setup: Some(setup),
        };
        self.start(now, call);
    }

    fn start(&mut self, now: Instant, call: Call) {
        self.serial += 1;
        let key = CallKey(self.serial);
        let callee = call.callee.clone();
        self.setups.extend(call.setup.as_ref().map(|setup| (setup.key.clone(), key)));
        self.call_ids.insert((callee.application().to_owned(), call.call_id.clone()), key);
        for aor in [&call.caller, &call.callee].into_iter().filter_map(|party| party.user()) {
            self.calls_of.entry(aor.clone()).or_default().insert(key);
        }
        self.calls.insert(key, call);
        self.live += 1;
        match &callee {
            Party::User(aor) => self.look_up(now, aor, Pending::Callee(key)),
            Party::Outside { application } => self.fork_outside(now, key, application),
        }
    }

    /// The back-to-back user agent is asked, and by the URI that the caller has named; who calls for help as if that were a user calls a telephone.
    fn fork_outside(&mut self, now: Instant, key: CallKey, application: &str) {
        let Some(flow) = self.b2bua(application) else { return };
        let Some(call) = self.calls.get(&key) else { return };
        let Some(invite) = call.setup.as_ref().and_then(|setup| setup.invite.clone()) else { return };
        let invite = invite.get();
        let Some((text, uri)) = invite.uri().and_then(|text| Some((text, Uri::parse(text).ok()?))) else { return };
        let uri = if !is_phone(&uri) && self.is_for_help(&uri) && self.is_ours(uri.host, from_host(invite)) {
            ["sip:", &uri.user_text(), "@", &self.settings.domain, ";user=phone"].concat()
        } else {
            text.to_owned()
        };
        self.fork(now, key, flow, Device::Instance(String::new()), &uri);
    }

    /// Whom an INVITE is for, where this caller may call now.
    fn invited(&self, request: &Request, caller: &Party, source: &str) -> Result<Party, Refusal> {
        let message = request.message();
        if message.number(Name::MaxForwards) == Some(0) {
            return Err(Refusal::new(StatusCode::TOO_MANY_HOPS, ApiCode::Malformed, "Too many hops"));
        }
        let uri = message.uri().and_then(|uri| Uri::parse(uri).ok()).ok_or(Refusal::new(
            StatusCode::BAD_REQUEST,
            ApiCode::Malformed,
            "Malformed Request-URI",
        ))?;
        if !uri.is_sip() {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_URI_SCHEME, ApiCode::Malformed, "Unsupported URI scheme"));
        }
        let outside = self.is_outside(&uri, from_host(message), caller)?;
        let help = outside && self.is_for_help(&uri);
        if self.draining && !help {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is going down").after(5));
        }
        if self.overloaded && !help {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Server is overloaded").after(OVERLOAD));
        }
        let user = if outside { "".into() } else { uri.user_text() };
        if !outside && (user.is_empty() || user.len() > offhook_access::ticket::MAX_USER || user.chars().any(char::is_control)) {
            return Err(Refusal::new(StatusCode::NOT_FOUND, ApiCode::NotFound, "No such user"));
        }
        let call_id = (caller.application().to_owned(), message.call_id().unwrap_or_default().to_owned());
        if self.call_ids.get(&call_id).and_then(|key| self.calls.get(key)).is_some_and(Call::is_live) {
            return Err(Refusal::new(StatusCode::LOOP_DETECTED, ApiCode::Malformed, "A call with this Call-ID is there already"));
        }
        let callee = Party::named(caller.application(), &user);
        self.check_room(caller, source, &callee, help).map(|()| callee)
    }

    /// Whether the way to the destination leads out, to a telephone or another SIP domain, and not to a user of ours.
    fn is_outside(&self, uri: &Uri<'_>, from_host: &str, caller: &Party) -> Result<bool, Refusal> {
        let ours = self.is_ours(uri.host, from_host);
        let host = uri.host.to_ascii_lowercase();
        let homes = [self.settings.domain.to_ascii_lowercase(), from_host.to_ascii_lowercase()];
        let refusal = if is_phone(uri) || ours && (TestNumber::read(&uri.user_text()).is_some() || self.is_for_help(uri)) {
            "Calls to telephones are not available"
        } else if host.strip_prefix("conference.").is_some_and(|rest| homes.iter().any(|home| home == rest)) {
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ApiCode::NotImplemented, "Conferences are not available"));
        } else if ours {
            return Ok(false);
        } else {
            "Calls to other SIP domains are not available"
        };
        // What comes in from outside does not go out again.
        match self.b2bua(caller.application()).filter(|_| !caller.is_outside()) {
            Some(_) => Ok(true),
            None => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ApiCode::NotImplemented, refusal)),
        }
    }

    /// Whether a host is this gateway. A page reaches it under names that the gateway need not know: what it calls its own domain is taken
    /// as ours.
    fn is_ours(&self, host: &str, from_host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
        let homes = [&*self.settings.domain, from_host];
        address || host == "localhost" || host.ends_with(".invalid") || homes.iter().any(|home| home.eq_ignore_ascii_case(&host))
    }

    fn is_for_help(&self, uri: &Uri<'_>) -> bool {
        self.settings.emergency.iter().any(|number| **number == *uri.user_text())
    }

    /// The store has answered for the callee.
    pub(super) fn looked_up(&mut self, now: Instant, key: CallKey, known: bool) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.stage == Stage::Looking) else { return };
        if !known {
            return self.fail_call(now, key, Refusal::new(StatusCode::NOT_FOUND, ApiCode::NotFound, "No such user"), "unknown");
        }
        call.stage = Stage::Holding;
        self.ring(now, key);
        if let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Holding) {
            debug!(call = %Plain(&call.call_id), milliseconds = millis(self.settings.hold_offline), "no device is online: it waits for one");
            self.timers.set(Timer::Hold(key), now + self.settings.hold_offline);
        }
    }

    /// No device came in time.
    pub(super) fn hold_ended(&mut self, now: Instant, key: CallKey) {
        self.fail_call(
            now,
            key,
            Refusal::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "No device is online"),
            "offline",
        );
    }

    /// Devices of a user have come: what waits for them or rings elsewhere rings there, too.
    pub(super) fn ring_arrived(&mut self, now: Instant, aor: &Aor) {
        let keys: Vec<CallKey> = self.calls_of.get(aor).into_iter().flatten().copied().collect();
        for key in keys {
            if self.calls.get(&key).is_some_and(|call| call.callee.user() == Some(aor) && call.is_open()) {
                self.ring(now, key);
            }
        }
    }

    /// Sends the INVITE to each device that is online and has not had it; not to the one that calls.
    fn ring(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        let had: Vec<&Device> = call.setup.iter().flat_map(|setup| &setup.branches).map(|branch| &branch.device).collect();
        let Some(callee) = call.callee.user() else { return };
        let caller = self.flows.resolve(call.flow).map(|(flow, _)| flow);
        let fresh = |binding: &&Binding| !had.contains(&&binding.device) && binding.conn.map(Flow::WebSocket) != caller;
        let ways: Vec<Binding> = self.registrar.online(now, callee).into_iter().filter(fresh).cloned().collect();
        for binding in ways {
            let Some(conn) = binding.conn else { continue };
            self.fork(now, key, Flow::WebSocket(conn), binding.device, &binding.contact);
        }
    }

    fn fork(&mut self, now: Instant, key: CallKey, flow: Flow, device: Device, uri: &str) {
        let id = self.branch();
        let via = self.via(&id);
        let Some(call) = self.calls.get(&key) else { return };
        let Some(invite) = call.setup.as_ref().and_then(|setup| setup.invite.clone()) else { return };
        let invite = invite.get();
        let from = self.identity_value(&call.caller, invite);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.as_mut().filter(|setup| setup.branches.len() < BRANCHES) else { return };
        let outside = call.caller.is_outside();
        let record_route = Some(&*setup.route);
        let onward = Onward { method: Method::Invite, uri, via: &via, from: &from, record_route, outside };
        let text = forward(invite, &onward);
        call.stage = Stage::Ringing;
        match &call.callee {
            Party::User(aor) => {
                debug!(call = %Plain(&call.call_id), user = %Masked(&aor.user), conn = flow.number(), "passed on to a device");
            }
            Party::Outside { .. } => debug!(call = %Plain(&call.call_id), "it leaves for the outside"),
        }
        let index = setup.branches.len();
        let client = ClientKey::new(id.clone(), Method::Invite);
        self.transactions.request(now, flow, Transport::Reliable, &client, text.clone());
        let (progress, stopped) = (Progress::Calling, false);
        setup.branches.push(Branch { device, flow, key: client, text, progress, stopped });
        self.timers.clear(&Timer::Hold(key));
        self.timers.set(Timer::Branch(key, index), now + RING);
        self.legs.insert(id, Leg::Branch(key, index));
        self.flush(now);
    }

    /// A device has answered an INVITE.
    pub(super) fn branch_answered(&mut self, now: Instant, key: CallKey, index: usize, response: &Message<'_>) {
        let Some(code) = response.code() else { return };
        match code.class() {
            Class::Provisional => {
                self.branch_proceeds(now, key, index);
                if code != StatusCode::TRYING {
                    self.pass_provisional(now, key, response);
                }
            }
            Class::Success => self.branch_accepted(now, key, index, response),
            _ => self.branch_failed(now, key, index, code, Some(response)),
        }
    }

    fn branch_proceeds(&mut self, now: Instant, key: CallKey, index: usize) {
        let Some(branch) = self.branch_of(key, index).filter(|branch| branch.progress != Progress::Done) else { return };
        branch.progress = Progress::Proceeding;
        // It has it, and is not told once more.
        branch.text = String::new();
        if !branch.stopped {
            self.timers.set(Timer::Branch(key, index), now + RING);
        }
    }

    fn pass_provisional(&mut self, now: Instant, key: CallKey, response: &Message<'_>) {
        let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Ringing) else { return };
        let Some(setup) = &call.setup else { return };
        let text = restore(
            response,
            &setup.head,
            response.code().unwrap_or(StatusCode::RINGING),
            Some(&setup.route),
            call.callee.is_outside(),
        );
        let server = setup.key.clone();
        self.respond(now, &server, text);
    }

    /// The first 2xx ends the ringing; each further one goes to the caller, too, who ends what it does not want (RFC 3261, 13.2.2.4).
    fn branch_accepted(&mut self, now: Instant, key: CallKey, index: usize, response: &Message<'_>) {
        self.branch_done(key, index);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.as_ref() else { return };
        let text =
            restore(response, &setup.head, response.code().unwrap_or(StatusCode::OK), Some(&setup.route), call.callee.is_outside());
        if !matches!(call.stage, Stage::Ringing | Stage::Stopping) {
            let flow = call.flow;
            debug!(call = %Plain(&call.call_id), "another device has answered, too");
            self.flush(now);
            return self.deliver(flow, text);
        }
        call.stage = Stage::Answered;
        call.answered = setup.branches.get(index).map(|branch| branch.flow);
        call.connected = Some(now);
        let (server, call_id) = (setup.key.clone(), call.call_id.clone());
        let conn = call.answered.and_then(Flow::number);
        info!(call = %Plain(&call_id), application = call.callee.application(), conn, "call answered");
        call.asks_nobody();
        self.respond(now, &server, text);
        self.record(Record::CallAnswered { call_id });
        self.timers.clear(&Timer::GiveUp(key));
        self.timers.set(Timer::Linger(key), now + TIMEOUT);
        self.timers.start(Timer::Sweep, now + super::SWEEP);
        self.cancel_others(now, key, Some(ANSWERED_ELSEWHERE.into()));
    }

    /// A device will not answer: it said so, or (`None`) it said nothing in time.
    pub(super) fn branch_failed(
        &mut self,
        now: Instant,
        key: CallKey,
        index: usize,
        code: StatusCode,
        response: Option<&Message<'_>>,
    ) {
        self.branch_done(key, index);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let branch = call.setup.as_ref().and_then(|setup| setup.branches.get(index));
        let conn = branch.and_then(|branch| branch.flow.number());
        debug!(call = %Plain(&call.call_id), conn, code = code.as_u16(), "a device does not take the call");
        let (ringing, outside) = (call.stage == Stage::Ringing, call.callee.is_outside());
        if let Some(setup) = call.setup.as_mut().filter(|_| ringing) {
            let head = &setup.head;
            let code = if outside { code } else { passed_on(code) };
            setup.best.offer(code, || match response {
                Some(response) => restore(response, head, code, None, outside),
                None => String::new(),
            });
        }
        if ringing && code >= StatusCode::BUSY_EVERYWHERE {
            // A user who declines declines for all devices.
            self.stop(now, key, Some(DECLINED.into()));
        } else {
            self.settle(now, key);
        }
    }

    /// Timer C: a device has rung for too long.
    pub(super) fn branch_expired(&mut self, now: Instant, key: CallKey, index: usize) {
        self.cancel_branch(now, key, index);
        self.branch_failed(now, key, index, StatusCode::REQUEST_TIMEOUT, None);
    }

    /// The caller takes its INVITE back (RFC 3261, 9.2). Why it does so the devices hear, too: one that was answered elsewhere is no missed
    /// call (RFC 3326, 1).
    pub(super) fn cancel(&mut self, now: Instant, request: &Request) {
        let invite = request.key.invite();
        if let Some(query) = self.pending_login(request.flow, &invite) {
            self.cancel_login(now, request, query);
        } else if self.party(request.flow).is_none() {
            self.refuse(now, request, Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Not authenticated"));
        } else if let Some(key) = self.setups.get(&invite).copied().filter(|key| self.is_callers(*key, request.flow)) {
            self.answer_cancel(now, request);
            let why = reasons(request.message()).join(", ");
            self.cancel_call(now, key, Some(why.into()).filter(|why: &Cow<'_, str>| !why.is_empty()));
        } else if !self.cancel_relayed(now, request, &invite) {
            self.refuse(now, request, Refusal::new(StatusCode::CALL_DOES_NOT_EXIST, ApiCode::NotFound, "Nothing to cancel"));
        }
    }

    pub(super) fn answer_cancel(&mut self, now: Instant, request: &Request) {
        let tag = self.random.token();
        self.respond(now, &request.key, reply(request.message(), StatusCode::OK, Some(&tag)).end());
    }

    fn is_callers(&self, key: CallKey, flow: Flow) -> bool {
        self.calls.get(&key).is_some_and(|call| self.flows.resolve(call.flow) == Some((flow, true)))
    }

    fn cancel_call(&mut self, now: Instant, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        debug!(call = %Plain(&call.call_id), reason = reason.as_deref().map(|reason| display(Plain(reason))), "the caller has left");
        if let Some(setup) = call.setup.as_mut() {
            setup.cancelled = true;
        }
        match call.stage {
            Stage::Looking | Stage::Holding => self.fail_call(now, key, CANCELLED, "cancelled"),
            Stage::Ringing => self.stop(now, key, reason),
            Stage::Stopping | Stage::Answered | Stage::Over => {}
        }
    }

    /// Tells every device to stop, then the caller how it ended.
    fn stop(&mut self, now: Instant, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.stage = Stage::Stopping;
        self.timers.set(Timer::GiveUp(key), now + GIVE_UP);
        self.cancel_others(now, key, reason);
        self.settle(now, key);
    }

    fn cancel_others(&mut self, now: Instant, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        setup.reason = reason;
        for index in 0..setup.branches.len() {
            self.cancel_branch(now, key, index);
        }
    }

    fn cancel_branch(&mut self, now: Instant, key: CallKey, index: usize) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        let Some(branch) = setup.branches.get_mut(index).filter(|branch| branch.progress != Progress::Done) else { return };
        branch.stopped = true;
        self.transactions.cancel(now, &branch.key, setup.reason.as_deref());
        self.flush(now);
    }

    /// Answers the caller where no device can answer any more. One that was told to stop and cannot hear it is not waited for.
    pub(super) fn settle(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        let Some(setup) = &call.setup else { return };
        let waits = |branch: &Branch| {
            let deaf = call.stage == Stage::Stopping && !self.flows.is_open(branch.flow);
            branch.progress != Progress::Done && !deaf
        };
        if setup.branches.iter().any(waits) {
            return;
        }
        match call.stage {
            Stage::Ringing | Stage::Stopping => self.give_up(now, key),
            Stage::Over if setup.branches.iter().all(|branch| branch.progress == Progress::Done) => self.forget_setup(key),
            _ => {}
        }
    }

    /// The caller gets the best failure there is.
    pub(super) fn give_up(&mut self, now: Instant, key: CallKey) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        if setup.cancelled {
            return self.fail_call(now, key, CANCELLED, "cancelled");
        }
        match setup.best.take() {
            Some((code, text)) if !text.is_empty() => {
                let server = setup.key.clone();
                self.respond(now, &server, text);
                self.call_failed(now, key, (code, None), cause(code));
            }
            Some((StatusCode::REQUEST_TIMEOUT, _)) => self.fail_call(
                now,
                key,
                Refusal::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, "No device answered"),
                "unanswered",
            ),
            _ => self.fail_call(
                now,
                key,
                Refusal::new(StatusCode::TEMPORARILY_UNAVAILABLE, ApiCode::Offline, "No device is online"),
                "offline",
            ),
        }
    }

    pub(super) fn fail_call(&mut self, now: Instant, key: CallKey, refusal: Refusal, cause: &'static str) {
        let tag = self.random.token();
        let Some(setup) = self.calls.get(&key).and_then(|call| call.setup.as_ref()) else { return };
        let Some(invite) = &setup.invite else { return };
        let (server, text) = (setup.key.clone(), refusal.answer(invite.get(), &tag).end());
        self.respond(now, &server, text);
        self.call_failed(now, key, (refusal.code(), Some(refusal.why)), cause);
    }

    fn call_failed(&mut self, now: Instant, key: CallKey, (code, reason): (StatusCode, Option<&'static str>), cause: &'static str) {
        let Some(call) = self.calls.get(&key) else { return };
        info!(call = %Plain(&call.call_id), application = call.callee.application(), cause, code = code.as_u16(), reason, "call ended");
        let call_id = call.call_id.clone();
        self.over(key);
        self.timers.clear(&Timer::Hold(key));
        self.timers.clear(&Timer::GiveUp(key));
        self.timers.set(Timer::Linger(key), now + TIMEOUT);
        self.calls.get_mut(&key).into_iter().for_each(Call::asks_nobody);
        self.record(Record::CallEnded { call_id, cause, code });
        self.settle(now, key);
    }

    fn branch_of(&mut self, key: CallKey, index: usize) -> Option<&mut Branch> {
        self.calls.get_mut(&key)?.setup.as_mut()?.branches.get_mut(index)
    }

    fn branch_done(&mut self, key: CallKey, index: usize) {
        if let Some(branch) = self.branch_of(key, index) {
            branch.progress = Progress::Done;
            branch.text = String::new();
            self.timers.clear(&Timer::Branch(key, index));
        }
    }

    /// The device of a branch has a new connection. What it never heard of is sent again: it knows a copy as one.
    pub(super) fn call_followed(&mut self, now: Instant, old: Flow, flow: Flow, aor: &Aor) {
        let mut again = Vec::new();
        for key in self.calls_of.get(aor).into_iter().flatten() {
            let Some(call) = self.calls.get_mut(key) else { continue };
            for known in [Some(&mut call.flow), call.answered.as_mut()].into_iter().flatten().filter(|known| **known == old) {
                *known = flow;
            }
            for branch in call.setup.iter_mut().flat_map(|setup| &mut setup.branches).filter(|branch| branch.flow == old) {
                branch.flow = flow;
                if branch.progress == Progress::Calling && !branch.stopped {
                    again.push(branch.text.clone());
                }
            }
        }
        self.flush(now);
        again.into_iter().for_each(|text| self.deliver(flow, text));
    }

    /// A connection of a user was lost: no call that is being stopped waits for it, and no device rings for a caller who is gone.
    pub(super) fn settle_after_loss(&mut self, now: Instant, aor: &Aor) {
        let keys: Vec<CallKey> = self.calls_of.get(aor).into_iter().flatten().copied().collect();
        for key in keys {
            match self.calls.get(&key) {
                Some(call) if call.stage == Stage::Stopping => self.settle(now, key),
                Some(call) if self.flows.resolve(call.flow).is_none() => self.cancel_call(now, key, None),
                _ => {}
            }
        }
    }

    /// No answer to the caller's INVITE can come any more.
    pub(super) fn forget_setup(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.take() else { return };
        self.setups.remove(&setup.key);
        for (index, branch) in setup.branches.iter().enumerate() {
            self.timers.clear(&Timer::Branch(key, index));
            self.legs.remove(branch.key.branch());
            self.transactions.abandon(&branch.key);
        }
        for timer in [Timer::Linger(key), Timer::Hold(key), Timer::GiveUp(key)] {
            self.timers.clear(&timer);
        }
        if call.stage == Stage::Over {
            self.forget_call(key);
        }
    }
}

/// Whether a URI says that it is a telephone's (RFC 3261, 19.1.1).
fn is_phone(uri: &Uri<'_>) -> bool {
    uri.params.get("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"))
}

fn from_host<'a>(message: &Message<'a>) -> &'a str {
    message.from().map(|from| from.uri.host).unwrap_or_default()
}

/// The user part of an address, for the log.
fn said(uri: Option<Uri<'_>>) -> String {
    uri.map(|uri| uri.user_text().into_owned()).unwrap_or_default()
}

const CANCELLED: Refusal = Refusal::new(StatusCode::REQUEST_TERMINATED, ApiCode::Terminated, "Request terminated");

const fn cause(code: StatusCode) -> &'static str {
    match code {
        StatusCode::DECLINE => "declined",
        StatusCode::BUSY_HERE | StatusCode::BUSY_EVERYWHERE => "busy",
        StatusCode::TEMPORARILY_UNAVAILABLE => "offline",
        StatusCode::REQUEST_TIMEOUT => "unanswered",
        StatusCode::NOT_FOUND | StatusCode::DOES_NOT_EXIST_ANYWHERE => "unknown",
        StatusCode::REQUEST_TERMINATED => "cancelled",
        _ => "failed",
    }
}
