//! INVITEs that make a call: to which devices they go, and what the caller gets (RFC 3261, 16; the stages are drawn in [`super::call`]).

use std::borrow::Cow;
use std::time::Duration;

use offhook_sip::{ApiCode, Class, Message, Method, StatusCode, reasons};
use offhook_ua::TIMEOUT;
use offhook_ua::log::{Masked, Plain, millis};
use offhook_ua::transaction::ClientKey;
use tracing::{debug, info};

use super::call::{Branch, Call, CallKey, Progress, Stage};
use super::destination::outside_uri;
use super::{Calls, SWEEP};
use crate::Record;
use crate::context::{Context, Leg};
use crate::party::{Aor, Flow, Party};
use crate::refusal::Refusal;
use crate::registrar::{Binding, Device, Registrar};
use crate::request::Request;
use crate::rewrite::{Onward, forward, passed_on, restore};
use crate::timers::Timer;

/// How long a device may ring: Timer C, longer than three minutes (RFC 3261, 16.6, step 11).
const RING: Duration = Duration::from_secs(185);
/// How long a device may take to say that it stopped: one that sleeps with its connection open must not keep the caller.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How many devices one call may try.
const BRANCHES: usize = 32;
const ANSWERED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
const DECLINED: &str = "SIP;cause=603;text=\"Declined\"";

impl Calls {
    /// The store has answered for the callee.
    pub(crate) fn looked_up(&mut self, cx: &mut Context, registrar: &Registrar, key: CallKey, known: bool) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.stage == Stage::Looking) else { return };
        if !known {
            let refusal = Refusal::new(StatusCode::NOT_FOUND, ApiCode::NotFound, "No such user");
            return self.fail(cx, key, refusal, "unknown");
        }
        call.stage = Stage::Holding;
        self.ring(cx, registrar, key);
        if let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Holding) {
            let wait = cx.settings.hold_offline;
            debug!(call = %Plain(&call.call_id), milliseconds = millis(wait), "no device is online: it waits for one");
            cx.clock.set(Timer::Hold(key), wait);
        }
    }

    /// No device came in time.
    pub(crate) fn hold_ended(&mut self, cx: &mut Context, key: CallKey) {
        self.fail(cx, key, Refusal::OFFLINE, "offline");
    }

    /// Devices of a user have come: what waits for them or rings elsewhere rings there, too.
    pub(crate) fn ring_arrived(&mut self, cx: &mut Context, registrar: &Registrar, aor: &Aor) {
        for key in self.keys_of(aor) {
            if self.calls.get(&key).is_some_and(|call| call.callee.user() == Some(aor) && call.is_open()) {
                self.ring(cx, registrar, key);
            }
        }
    }

    /// Sends the INVITE to each device that is online and has not had it; not to the one that calls.
    fn ring(&mut self, cx: &mut Context, registrar: &Registrar, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        let Some(callee) = call.callee.user() else { return };
        let had: Vec<&Device> =
            call.setup.iter().flat_map(|setup| &setup.branches).filter_map(|branch| branch.device.as_ref()).collect();
        let caller = cx.connections.resolve(call.flow).map(|(flow, _)| flow);
        let fresh = |binding: &&Binding| !had.contains(&&binding.device) && binding.conn.map(Flow::WebSocket) != caller;
        let bindings: Vec<Binding> = registrar.online(&cx.clock, callee).into_iter().filter(fresh).cloned().collect();
        for binding in bindings {
            let Some(conn) = binding.conn else { continue };
            self.fork(cx, key, Flow::WebSocket(conn), Some(binding.device), &binding.contact);
        }
    }

    /// The back-to-back user agent is asked.
    pub(super) fn fork_outside(&mut self, cx: &mut Context, key: CallKey, application: &str) {
        let Some(flow) = cx.b2bua(application) else { return };
        let Some(invite) = self.calls.get(&key).and_then(|call| call.setup.as_ref()?.invite.as_ref()) else { return };
        let Some(uri) = outside_uri(cx, invite.get()) else { return };
        self.fork(cx, key, flow, None, &uri);
    }

    fn fork(&mut self, cx: &mut Context, key: CallKey, flow: Flow, device: Option<Device>, uri: &str) {
        let branch = cx.branch();
        let via = cx.via(&branch);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.as_mut().filter(|setup| setup.branches.len() < BRANCHES) else { return };
        let Some(invite) = setup.invite.as_ref().map(|invite| invite.get()) else { return };
        let from = cx.identity_value(&call.caller, invite);
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
        let (index, client) = (setup.branches.len(), ClientKey::new(branch, Method::Invite));
        let progress = Progress::Calling(text.clone());
        setup.branches.push(Branch { device, flow, key: client.clone(), progress, stopped: false });
        cx.clock.clear(&Timer::Hold(key));
        cx.clock.set(Timer::Branch(key, index), RING);
        cx.request(flow, &client, Leg::Branch(key, index), text);
    }

    /// Where the INVITE of a branch went.
    pub(crate) fn receiver(&self, key: CallKey, index: usize) -> Option<Flow> {
        self.calls.get(&key)?.setup.as_ref()?.branches.get(index).map(|branch| branch.flow)
    }

    /// A device has answered an INVITE.
    pub(crate) fn branch_answered(&mut self, cx: &mut Context, key: CallKey, index: usize, response: &Message<'_>) {
        let Some(code) = response.code() else { return };
        match code.class() {
            Class::Provisional => {
                self.branch_proceeds(cx, key, index);
                if code != StatusCode::TRYING {
                    self.pass_provisional(cx, key, (code, response));
                }
            }
            Class::Success => self.branch_accepted(cx, key, index, (code, response)),
            _ => self.branch_failed(cx, key, index, code, Some(response)),
        }
    }

    fn branch_proceeds(&mut self, cx: &mut Context, key: CallKey, index: usize) {
        let Some(branch) = self.branch_of(key, index).filter(|branch| branch.progress != Progress::Done) else { return };
        // It has it: no retransmission after a reconnect.
        branch.progress = Progress::Proceeding;
        if !branch.stopped {
            cx.clock.set(Timer::Branch(key, index), RING);
        }
    }

    fn pass_provisional(&self, cx: &mut Context, key: CallKey, (code, response): (StatusCode, &Message<'_>)) {
        let Some(call) = self.calls.get(&key).filter(|call| call.stage == Stage::Ringing) else { return };
        let Some(setup) = &call.setup else { return };
        let text = restore(response, &setup.head, code, Some(&setup.route), call.callee.is_outside());
        cx.respond(&setup.key, text);
    }

    /// The first 2xx ends the ringing; each further one goes to the caller, too, who ends what it does not want (RFC 3261, 13.2.2.4).
    fn branch_accepted(&mut self, cx: &mut Context, key: CallKey, index: usize, (code, response): (StatusCode, &Message<'_>)) {
        self.branch_done(cx, key, index);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(setup) = call.setup.as_ref() else { return };
        let text = restore(response, &setup.head, code, Some(&setup.route), call.callee.is_outside());
        if !matches!(call.stage, Stage::Ringing | Stage::Stopping) {
            debug!(call = %Plain(&call.call_id), "another device has answered, too");
            return cx.send_beside(call.flow, text);
        }
        call.stage = Stage::Answered;
        call.answered = setup.branches.get(index).map(|branch| branch.flow);
        call.connected = Some(cx.now());
        let (server, call_id, conn) = (setup.key.clone(), call.call_id.clone(), call.answered.and_then(Flow::number));
        info!(call = %Plain(&call_id), application = call.callee.application(), conn, "call answered");
        call.drop_invite();
        cx.respond(&server, text);
        cx.record(Record::CallAnswered { call_id });
        cx.clock.clear(&Timer::GiveUp(key));
        cx.clock.set(Timer::Linger(key), TIMEOUT);
        cx.clock.start(Timer::Sweep, SWEEP);
        self.cancel_branches(cx, key, Some(ANSWERED_ELSEWHERE.into()));
    }

    /// A device does not take the call: by its response, or (`None`) as none came in time.
    pub(crate) fn branch_failed(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        index: usize,
        code: StatusCode,
        response: Option<&Message<'_>>,
    ) {
        self.branch_done(cx, key, index);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let branch = call.setup.as_ref().and_then(|setup| setup.branches.get(index));
        let conn = branch.and_then(|branch| branch.flow.number());
        debug!(call = %Plain(&call.call_id), conn, code = code.as_u16(), "a device does not take the call");
        let (ringing, outside) = (call.stage == Stage::Ringing, call.callee.is_outside());
        if let Some(setup) = call.setup.as_mut().filter(|_| ringing) {
            let head = &setup.head;
            let code = if outside { code } else { passed_on(code) };
            setup.best.offer(code, || response.map(|response| restore(response, head, code, None, outside)));
        }
        if ringing && code >= StatusCode::BUSY_EVERYWHERE {
            // A user who declines declines for all devices.
            self.stop(cx, key, Some(DECLINED.into()));
        } else {
            self.settle(cx, key);
        }
    }

    /// Timer C: a device has rung for too long.
    pub(crate) fn branch_expired(&mut self, cx: &mut Context, key: CallKey, index: usize) {
        self.cancel_branch(cx, key, index);
        self.branch_failed(cx, key, index, StatusCode::REQUEST_TIMEOUT, None);
    }

    /// The caller takes its INVITE back (RFC 3261, 9.2). The devices are told why: one that was answered elsewhere is no missed call (RFC
    /// 3326, 1). Returns false where there is no such call of the sender.
    pub(crate) fn cancel(&mut self, cx: &mut Context, request: &Request) -> bool {
        let own = self.by_invite(&request.key.invite()).filter(|(_, call)| cx.connections.leads_to(call.flow, request.flow));
        let Some((key, call)) = own else { return false };
        let tag = call.setup.as_ref().map_or(&request.tag, |setup| &setup.tag);
        cx.accept_cancel(request, tag);
        let reasons = reasons(request.message());
        self.cancel_call(cx, key, (!reasons.is_empty()).then(|| reasons.join(", ").into()));
        true
    }

    fn cancel_call(&mut self, cx: &mut Context, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        debug!(call = %Plain(&call.call_id), reason = reason.as_deref().map(|reason| display(Plain(reason))), "the caller has left");
        if let Some(setup) = call.setup.as_mut() {
            setup.cancelled = true;
        }
        match call.stage {
            Stage::Looking | Stage::Holding => self.fail(cx, key, Refusal::CANCELLED, "cancelled"),
            Stage::Ringing => self.stop(cx, key, reason),
            Stage::Stopping | Stage::Answered | Stage::Over => {}
        }
    }

    /// Has every device stop ringing; then the caller is told how it ended.
    fn stop(&mut self, cx: &mut Context, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.stage = Stage::Stopping;
        cx.clock.set(Timer::GiveUp(key), GIVE_UP);
        self.cancel_branches(cx, key, reason);
        self.settle(cx, key);
    }

    fn cancel_branches(&mut self, cx: &mut Context, key: CallKey, reason: Option<Cow<'static, str>>) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        setup.reason = reason;
        for index in 0..setup.branches.len() {
            self.cancel_branch(cx, key, index);
        }
    }

    fn cancel_branch(&mut self, cx: &mut Context, key: CallKey, index: usize) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        let Some(branch) = setup.branches.get_mut(index).filter(|branch| branch.progress != Progress::Done) else { return };
        branch.stopped = true;
        cx.cancel(&branch.key, setup.reason.as_deref());
    }

    /// Answers the caller where no device can answer any more. One that was told to stop and is not connected is not waited for.
    fn settle(&mut self, cx: &mut Context, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        let Some(setup) = &call.setup else { return };
        let may_answer = |branch: &Branch| {
            let unreachable = call.stage == Stage::Stopping && !cx.connections.is_open(branch.flow);
            branch.progress != Progress::Done && !unreachable
        };
        if setup.branches.iter().any(may_answer) {
            return;
        }
        match call.stage {
            Stage::Ringing | Stage::Stopping => self.give_up(cx, key),
            Stage::Over if setup.branches.iter().all(|branch| branch.progress == Progress::Done) => self.forget_setup(cx, key),
            _ => {}
        }
    }

    /// The caller gets the best failure there is.
    pub(crate) fn give_up(&mut self, cx: &mut Context, key: CallKey) {
        let Some(setup) = self.calls.get_mut(&key).and_then(|call| call.setup.as_mut()) else { return };
        if setup.cancelled {
            return self.fail(cx, key, Refusal::CANCELLED, "cancelled");
        }
        match setup.best.take() {
            Some((code, Some(text))) => {
                cx.respond(&setup.key, text);
                self.failed(cx, key, (code, None), cause(code));
            }
            Some((StatusCode::REQUEST_TIMEOUT, None)) => {
                let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, ApiCode::Timeout, "No device answered");
                self.fail(cx, key, refusal, "unanswered");
            }
            _ => self.fail(cx, key, Refusal::OFFLINE, "offline"),
        }
    }

    /// Answers the caller with a failure of ours.
    pub(crate) fn fail(&mut self, cx: &mut Context, key: CallKey, refusal: Refusal, cause: &'static str) {
        let Some(setup) = self.calls.get(&key).and_then(|call| call.setup.as_ref()) else { return };
        let Some(invite) = &setup.invite else { return };
        cx.respond(&setup.key, refusal.answer(invite.get(), &setup.tag).end());
        self.failed(cx, key, (refusal.code(), Some(refusal.why)), cause);
    }

    fn failed(&mut self, cx: &mut Context, key: CallKey, (code, reason): (StatusCode, Option<&'static str>), cause: &'static str) {
        let Some(call) = self.calls.get(&key) else { return };
        let application = call.callee.application();
        info!(call = %Plain(&call.call_id), application, cause, code = code.as_u16(), reason, "call ended");
        let call_id = call.call_id.clone();
        self.over(key);
        cx.clock.clear(&Timer::Hold(key));
        cx.clock.clear(&Timer::GiveUp(key));
        cx.clock.set(Timer::Linger(key), TIMEOUT);
        self.calls.get_mut(&key).into_iter().for_each(Call::drop_invite);
        cx.record(Record::CallEnded { call_id, cause, code });
        self.settle(cx, key);
    }

    fn branch_of(&mut self, key: CallKey, index: usize) -> Option<&mut Branch> {
        self.calls.get_mut(&key)?.setup.as_mut()?.branches.get_mut(index)
    }

    fn branch_done(&mut self, cx: &mut Context, key: CallKey, index: usize) {
        if let Some(branch) = self.branch_of(key, index) {
            branch.progress = Progress::Done;
            cx.clock.clear(&Timer::Branch(key, index));
        }
    }

    /// A device of a user has a new connection. An INVITE that it never answered is retransmitted there.
    pub(crate) fn follow(&mut self, cx: &mut Context, old: Flow, flow: Flow, aor: &Aor) {
        let mut unanswered = Vec::new();
        for key in self.keys_of(aor) {
            let Some(call) = self.calls.get_mut(&key) else { continue };
            for known in [Some(&mut call.flow), call.answered.as_mut()].into_iter().flatten().filter(|known| **known == old) {
                *known = flow;
            }
            for branch in call.setup.iter_mut().flat_map(|setup| &mut setup.branches).filter(|branch| branch.flow == old) {
                branch.flow = flow;
                if let Progress::Calling(text) = &branch.progress
                    && !branch.stopped
                {
                    unanswered.push(text.clone());
                }
            }
        }
        unanswered.into_iter().for_each(|text| cx.send_beside(flow, text));
    }

    /// A connection of a user was lost: no call that is being stopped waits for it, and no device rings for a caller who is gone.
    pub(crate) fn connection_lost(&mut self, cx: &mut Context, aor: &Aor) {
        for key in self.keys_of(aor) {
            match self.calls.get(&key) {
                Some(call) if call.stage == Stage::Stopping => self.settle(cx, key),
                Some(call) if cx.connections.resolve(call.flow).is_none() => self.cancel_call(cx, key, None),
                _ => {}
            }
        }
    }
}

/// In a word, why a call came to nothing, for the call record.
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
