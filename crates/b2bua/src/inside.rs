//! Requests within a call, on either side. Each side has media of its own with us, so offers, refreshes and trickled candidates end here
//! and go no further; what goes on to the other side are keys and the end.

use offhook_media::{Command, Leg, MAX_SDP};
use offhook_sip::reasons;
use offhook_sip::{Abilities, Message, Method, Name, StatusCode, parse, reply};
use offhook_trunk::Dtmf;
use offhook_ua::session_timer::{AGAIN, SessionTimer};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, ServerKey};

use super::Timer;
use super::call::{Call, Stage};
use super::core::{Asked, Core, SDP, description};
use super::failure::Failure;
use super::party::{Exchange, Invite, allow};

/// How long a key is said to be pressed where nobody says it.
const PRESSED: u32 = 160;

impl Call {
    /// A request within one of the call's dialogs.
    pub(super) fn request(&mut self, core: &mut Core, now: Instant, leg: Leg, key: &ServerKey, request: &Message<'_>) {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        let Some(dialog) = self.party(leg).dialog_of(request) else {
            return core.refuse(now, leg, key, request, StatusCode::CALL_DOES_NOT_EXIST);
        };
        if !dialog.in_order(number) {
            return core.refuse(now, leg, key, request, StatusCode::SERVER_INTERNAL_ERROR);
        }
        let Some(method) = request.method() else { return };
        match method {
            Method::Bye => self.bye(core, now, leg, key, request),
            _ if self.is_over() => core.refuse(now, leg, key, request, StatusCode::CALL_DOES_NOT_EXIST),
            Method::Prack => self.provisional_acknowledged(core, now, leg, key, request),
            Method::Info => self.info(core, now, leg, key, request),
            Method::Invite | Method::Update => self.reoffered(core, now, leg, key, request),
            Method::Options => {
                let answer = reply(request, StatusCode::OK, None).field("Allow", &allow()).field("Accept", SDP);
                core.respond(now, leg, key, answer.end());
            }
            // Transfers are nobody's business but ours: who pays for what would be open.
            Method::Refer => core.refuse(now, leg, key, request, StatusCode::DECLINE),
            method => core.refuse(now, leg, key, request, Abilities::unserved(method)),
        }
    }

    fn bye(&mut self, core: &mut Core, now: Instant, leg: Leg, key: &ServerKey, bye: &Message<'_>) {
        core.respond(now, leg, key, reply(bye, StatusCode::OK, None).end());
        let party = self.party(leg);
        party.gone = true;
        if matches!(party.invite, Invite::Received { .. }) {
            // The caller ends an early dialog with BYE: the INVITE still wants its answer (RFC 3261, 15.1.2).
            return self.finish(core, now, "cancelled", &Failure::hung_up(StatusCode::REQUEST_TERMINATED, reasons(bye)));
        }
        party.unacknowledged = None;
        core.timers.clear(&Timer::Repeat(self.key, leg));
        self.complete(core, now, leg, reasons(bye));
        self.settle(now);
    }

    fn info(&mut self, core: &mut Core, now: Instant, leg: Leg, key: &ServerKey, info: &Message<'_>) {
        let package = info.get(Name::InfoPackage);
        if package.is_some_and(|package| !package.eq_ignore_ascii_case("trickle-ice")) {
            return core.refuse(now, leg, key, info, StatusCode::BAD_INFO_PACKAGE);
        }
        let pressed = if info.content_is("application/dtmf-relay") || info.content_is("application/dtmf") {
            let Some(pressed) = read_key(info.text()) else { return core.refuse(now, leg, key, info, StatusCode::BAD_REQUEST) };
            Some(pressed)
        } else if !info.body.is_empty() && !info.content_is("application/trickle-ice-sdpfrag") {
            return core.refuse(now, leg, key, info, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        } else {
            // Candidates: the other end finds us, and needs not be found (RFC 8445, 2.5).
            None
        };
        core.respond(now, leg, key, reply(info, StatusCode::OK, None).end());
        if let Some((digit, duration)) = pressed {
            self.pressed(core, now, leg, digit, duration);
        }
    }

    /// A key was pressed at one side and was told by INFO, or has to be: it goes on in the way that the other side takes.
    pub(super) fn pressed(&mut self, core: &mut Core, now: Instant, leg: Leg, digit: char, duration: u32) {
        if self.stage != Stage::Up {
            return;
        }
        if self.test.is_some() {
            return self.test_key(core, now, digit);
        }
        let other = if leg == Leg::Page { Leg::Peer } else { Leg::Page };
        let by_info = other == Leg::Peer && self.trunk.as_ref().is_some_and(|trunk| core.trunks.dtmf(trunk) == Dtmf::Info);
        let (key, session) = (self.key, self.key.session());
        if !by_info {
            return core.media(Command::SendDigit { session, leg: other, digit, duration });
        }
        let (Some(way), Some(dialog)) = (self.way(other), self.peer.dialog.as_mut()) else { return };
        let body = format!("Signal={digit}\r\nDuration={duration}\r\n");
        core.ask(now, key, &way, Asked::Else, dialog.request(Method::Info), Some(("application/dtmf-relay", &body)));
    }

    /// INVITE or UPDATE within the call: another offer, or only a sign of life.
    fn reoffered(&mut self, core: &mut Core, now: Instant, leg: Leg, key: &ServerKey, request: &Message<'_>) {
        let (offers, invite) = (request.content_is(SDP), request.method() == Some(Method::Invite));
        let session = self.key.session();
        let up = self.stage == Stage::Up;
        let party = self.party(leg);
        if invite && up {
            // Who asks for more has our 2xx, whatever became of the ACK (RFC 5407, 3.1.4), unless its answer was in there.
            party.unacknowledged.take_if(|waiting| waiting.number.is_none() && !waiting.offers);
        }
        let free = matches!(party.exchange, Exchange::Idle) && !party.is_waiting();
        if request.body.len() > MAX_SDP {
            return core.refuse(now, leg, key, request, StatusCode::REQUEST_ENTITY_TOO_LARGE);
        }
        if SessionTimer::is_too_brief(request) {
            return core.refuse(now, leg, key, request, StatusCode::SESSION_INTERVAL_TOO_SMALL);
        }
        if invite && !up || (offers || invite) && !free {
            let theirs = matches!(party.exchange, Exchange::Answering { .. });
            return core.refuse_crossing(now, leg, key, request, theirs);
        }
        if let Some(dialog) = party.dialog_of(request) {
            dialog.refresh(request);
        }
        party.learn(request);
        if !offers && !invite {
            return self.confirm(core, now, leg, key, request, None);
        }
        self.party(leg).exchange = Exchange::Answering { key: key.clone(), request: request.source().to_owned() };
        core.media(if offers {
            Command::Offered { session, leg, sdp: request.text().to_owned() }
        } else {
            Command::Offer { session, leg }
        });
    }

    /// 200 to an INVITE or UPDATE within the call.
    pub(super) fn confirm(
        &mut self,
        core: &mut Core,
        now: Instant,
        leg: Leg,
        key: &ServerKey,
        request: &Message<'_>,
        sdp: Option<&str>,
    ) {
        let call = self.key;
        let party = self.party(leg);
        let answer = party.timer.answer(request, party.reply(request, StatusCode::OK));
        let text = match sdp {
            Some(sdp) => answer.body(SDP, sdp),
            None => answer.end(),
        };
        if request.method() == Some(Method::Invite) {
            party.wait(now, key.clone(), text.clone(), None, !request.content_is(SDP));
            core.timers.set(Timer::Repeat(call, leg), now + offhook_ua::T1);
        }
        core.respond(now, leg, key, text);
        self.keep_alive(core, now, leg);
    }

    /// The other side takes a re-INVITE back.
    pub(super) fn reoffer_cancelled(&mut self, core: &mut Core, now: Instant, leg: Leg) {
        let party = self.party(leg);
        if let Exchange::Answering { key, request } = std::mem::replace(&mut party.exchange, Exchange::Dropped)
            && let Ok(request) = parse(request.as_bytes())
        {
            core.refuse(now, leg, &key, &request, StatusCode::REQUEST_TERMINATED);
        }
    }

    /// Sees to it that the session is refreshed, or ends where nobody does that: from the last 2xx on.
    pub(super) fn keep_alive(&mut self, core: &mut Core, now: Instant, leg: Leg) {
        let (refresh, end) = (Timer::Refresh(self.key, leg), Timer::Expire(self.key, leg));
        core.timers.clear(&refresh);
        core.timers.clear(&end);
        let answered = matches!(self.stage, Stage::Accepting | Stage::Up);
        if let Some(deadlines) = self.party(leg).timer.deadlines().filter(|_| answered) {
            core.timers.set(end, now + deadlines.end);
            if let Some(after) = deadlines.refresh {
                core.timers.set(refresh, now + after);
            }
        }
    }

    /// Refreshes the session: by UPDATE where the other side takes it, else by an offer.
    pub(super) fn refresh(&mut self, core: &mut Core, now: Instant, leg: Leg) {
        let (key, session) = (self.key, self.key.session());
        let party = self.party(leg);
        if !matches!(party.exchange, Exchange::Idle) || party.is_waiting() {
            return core.timers.set(Timer::Refresh(key, leg), now + AGAIN);
        }
        if !party.updates {
            party.exchange = Exchange::Offering;
            return core.media(Command::Offer { session, leg });
        }
        let (Some(dialog), Some(way)) = (party.dialog.as_mut(), party.way.clone()) else { return };
        let update = dialog.request(Method::Update).field("Contact", &party.contact).field("Supported", "timer");
        core.ask(now, key, &way, Asked::Update, party.timer.refresh(update), None);
    }

    /// Our offer for a refresh is made.
    pub(super) fn reoffer(&mut self, core: &mut Core, now: Instant, leg: Leg, sdp: &str) {
        let key = self.key;
        let party = self.party(leg);
        party.exchange = Exchange::Offered;
        let supported = party.supported();
        let (Some(dialog), Some(way)) = (party.dialog.as_mut(), party.way.clone()) else { return };
        let invite =
            dialog.request(Method::Invite).field("Contact", &party.contact).field("Allow", &allow()).field("Supported", supported);
        core.ask(now, key, &way, Asked::Reinvite, party.timer.refresh(invite), Some((SDP, sdp)));
    }

    /// The final answer to a request of ours within the call; `Err`: there was none.
    pub(super) fn request_answered(
        &mut self,
        core: &mut Core,
        now: Instant,
        (leg, asked): (Leg, Asked),
        key: &ClientKey,
        answer: Result<&Message<'_>, StatusCode>,
    ) {
        let code = answer.map_or_else(|code| code, |answer| answer.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        let call = self.key;
        // A challenge has raised the number (RFC 3261, 22.2).
        if let (Ok(answer), Some(dialog)) = (answer, self.party(leg).dialog.as_mut())
            && let Ok(cseq) = answer.cseq()
        {
            dialog.sent(cseq.number);
        }
        if asked == Asked::Reinvite {
            self.reoffer_answered(core, now, leg, answer);
        }
        if self.is_over() {
            return;
        }
        // A page that is away for a moment comes back, as a call outlives its connection; behind a trunk nobody does.
        let gone = match leg {
            Leg::Page => matches!(code, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::CALL_DOES_NOT_EXIST),
            Leg::Peer => matches!(
                code,
                StatusCode::NOT_FOUND
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::GONE
                    | StatusCode::CALL_DOES_NOT_EXIST
                    | StatusCode::DOES_NOT_EXIST_ANYWHERE
            ),
        };
        if gone && self.stage == Stage::Up && key.method() != Method::Prack {
            self.party(leg).gone |= code != StatusCode::REQUEST_TIMEOUT;
            return self.lose(core, now, leg);
        }
        match (asked, answer) {
            (Asked::Update, Ok(answer)) if !code.is_failure() => self.refreshed(core, now, leg, answer),
            (Asked::Update, _) if matches!(code, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) => {
                self.party(leg).updates = false;
                self.refresh(core, now, leg);
            }
            (Asked::Update | Asked::Reinvite, Ok(answer))
                if code == StatusCode::SESSION_INTERVAL_TOO_SMALL && self.party(leg).timer.too_brief(answer) =>
            {
                self.refresh(core, now, leg);
            }
            (Asked::Update | Asked::Reinvite, _) if code.is_failure() => {
                // Towards the side that is called the Call-ID is ours.
                let wait = SessionTimer::again(code, leg == self.callee_leg(), &mut core.random);
                core.timers.set(Timer::Refresh(call, leg), now + wait);
            }
            _ => {}
        }
    }

    fn reoffer_answered(&mut self, core: &mut Core, now: Instant, leg: Leg, answer: Result<&Message<'_>, StatusCode>) {
        let session = self.key.session();
        let over = self.is_over();
        let party = self.party(leg);
        let Some((answer, way)) =
            answer.ok().filter(|answer| answer.code().is_some_and(|code| !code.is_failure())).zip(party.way.clone())
        else {
            party.exchange = Exchange::Idle;
            return;
        };
        let Some((dialog, cseq)) = party.dialog.as_mut().zip(answer.cseq().ok()) else { return };
        dialog.refresh(answer);
        party.ack = Some(core.acknowledge(now, &way, dialog.acknowledge(cseq.number), None));
        if over || !matches!(std::mem::take(&mut party.exchange), Exchange::Offered) {
            return;
        }
        if let Some(sdp) = description(answer) {
            core.media(Command::Answered { session, leg, sdp: sdp.to_owned() });
        }
        self.refreshed(core, now, leg, answer);
    }

    fn refreshed(&mut self, core: &mut Core, now: Instant, leg: Leg, answer: &Message<'_>) {
        let party = self.party(leg);
        if let Some(dialog) = party.dialog.as_mut() {
            dialog.refresh(answer);
        }
        party.timer.granted(answer);
        self.keep_alive(core, now, leg);
    }
}

/// The key and its duration in a body that tells of one: `Signal=5` and `Duration=160`, or only `5`.
fn read_key(body: &str) -> Option<(char, u32)> {
    let value = |name: &str| {
        let lines = body.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let digit = value("signal").unwrap_or(body.trim());
    let digit = Some(digit).filter(|digit| digit.len() == 1)?.chars().next()?.to_ascii_uppercase();
    let duration = value("duration").and_then(|value| value.parse().ok()).unwrap_or(PRESSED);
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some((digit, duration.clamp(40, 5_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_two_forms() {
        assert_eq!(read_key("Signal=5\r\nDuration=200\r\n"), Some(('5', 200)));
        assert_eq!(read_key("signal = # \r\n"), Some(('#', 160)));
        assert_eq!(read_key("d\r\n"), Some(('D', 160)));
        assert_eq!(read_key("Signal=1\r\nDuration=999999"), Some(('1', 5_000)));
        for other in ["", "Signal=", "Signal=12", "x", "Signal=é"] {
            assert_eq!(read_key(other), None, "{other}");
        }
    }
}
