//! Responses to an INVITE that are retransmitted until they are acknowledged: reliable provisional responses (100rel, RFC 3262) and 2xx
//! (RFC 3261, 13.3.1.4).
//!
//! The UAS has at most one of them under way, [`Uas`]:
//!
//! ```text
//!                        retransmitted after T1, then twice as long each time
//!                              ┌────────────┐
//!            provisional()     ▼            │
//!        ┌─────────────────▶ Provisional ───┴── PRACK with its RAck ──▶ Idle
//!        │                     │  │
//!      Idle          success() │  └── 64 * T1 ──▶ Idle: timed out
//!        │                     ▼
//!        └─────────────────▶ Success ───┬── ACK with its CSeq number ──▶ Idle
//!            success()         ▲  │     │
//!                              └──┼─────┘ retransmitted after T1, then twice as long each time, up to T2
//!                                 └── 64 * T1 ──▶ Idle: timed out
//! ```
//!
//! The UAC acknowledges provisional responses in the order of their RSeq, each once, in each early dialog of its INVITE: [`Uac`].

use std::time::Duration;

use offhook_sip::{Message, Method, Name, Writer, text::number};

use crate::dialog::Dialog;
use crate::random::Random;
use crate::time::Instant;
use crate::transaction::ServerKey;
use crate::transaction::retransmission::{Retransmission, earlier};
use crate::{T2, TIMEOUT};

/// How long a 2xx waits for the PRACK to a provisional response with a session description (RFC 3262, 3): the PRACK may be lost with a
/// connection.
const HOLD: Duration = Duration::from_secs(2);

/// Returns the RSeq of the first reliable provisional response to an INVITE: 1 to 2^31 - 1, each as likely (RFC 3262, 3).
pub fn draw_rseq(random: &mut Random) -> u32 {
    1 + u32::try_from(random.below((1 << 31) - 1)).unwrap_or(0)
}

/// Whether the sender of an INVITE takes reliable provisional responses (RFC 3262, 3).
#[must_use]
pub fn is_supported_by(invite: &Message<'_>) -> bool {
    invite.has_token(Name::Supported, "100rel") || invite.has_token(Name::Require, "100rel")
}

/// The response of a UAS that waits for its acknowledgement, if there is one.
///
/// Order of calls: any of those that take `&mut self`; then [`Uas::deadline`] into the timer that calls [`Uas::handle_timeout`].
#[derive(Debug, Default)]
pub struct Uas {
    pending: Option<Response>,
}

/// A response that waits for its acknowledgement.
#[derive(Debug)]
pub struct Response {
    /// The transaction of the INVITE.
    pub key: ServerKey,
    /// The response, complete.
    pub text: String,
    /// Whether it carries an offer, as its INVITE had none: the ACK has to bring the answer (RFC 3261, 13.2.1).
    pub offers: bool,
    kind: Kind,
    /// The CSeq number of the INVITE.
    number: u32,
    since: Instant,
    retransmission: Retransmission,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A reliable provisional response: PRACK acknowledges it.
    Provisional { rseq: u32 },
    /// A 2xx: ACK acknowledges it.
    Success,
}

/// What is to be done with a response that is not acknowledged yet.
#[derive(Debug)]
pub enum Due<'a> {
    /// Send it again.
    Retransmit(&'a Response),
    /// Nothing: for 64 * T1 it was not acknowledged, and now it waits no longer. The INVITE is rejected with 504, or a call that was answered
    /// ends with BYE.
    TimedOut,
}

impl Uas {
    /// Returns one that waits for nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: None }
    }

    /// Begins to wait for the PRACK to `text`, which was sent as a reliable provisional response with this RSeq.
    pub fn provisional(&mut self, now: Instant, key: ServerKey, invite: &Message<'_>, rseq: u32, text: String) {
        self.wait(now, key, invite, Kind::Provisional { rseq }, text);
    }

    /// Begins to wait for the ACK to `text`, which was sent as a 2xx.
    pub fn success(&mut self, now: Instant, key: ServerKey, invite: &Message<'_>, text: String) {
        self.wait(now, key, invite, Kind::Success, text);
    }

    fn wait(&mut self, now: Instant, key: ServerKey, invite: &Message<'_>, kind: Kind, text: String) {
        self.pending = Some(Response {
            key,
            text,
            offers: invite.description().is_none(),
            kind,
            number: invite.number(Name::CSeq).unwrap_or(0),
            since: now,
            retransmission: Retransmission::new(now),
        });
    }

    /// Returns the provisional response that `prack` acknowledges. Where it acknowledges none, 481 is the answer to it (RFC 3262, 3).
    pub fn acknowledge_provisional(&mut self, prack: &Message<'_>) -> Option<Response> {
        let mut parts = prack.get(Name::RAck).unwrap_or_default().split_ascii_whitespace();
        let named = (parts.next().and_then(number), parts.next().and_then(number), parts.next().map(Method::from));
        let acknowledges = |pending: &mut Response| match pending.kind {
            Kind::Provisional { rseq } => named == (Some(rseq), Some(pending.number), Some(Method::Invite)),
            Kind::Success => false,
        };
        self.pending.take_if(acknowledges)
    }

    /// Returns the 2xx that `ack` acknowledges.
    pub fn acknowledge(&mut self, ack: &Message<'_>) -> Option<Response> {
        let number = ack.number(Name::CSeq);
        self.pending.take_if(|pending| pending.kind == Kind::Success && number == Some(pending.number))
    }

    /// Takes note of a re-INVITE of the peer: it has our 2xx, whatever became of its ACK (RFC 5407, 3.1.4), unless that has to bring its
    /// answer (3.1.5).
    pub fn reinvited(&mut self) {
        self.pending.take_if(|pending| pending.kind == Kind::Success && !pending.offers);
    }

    /// Waits for nothing any more.
    pub fn stop(&mut self) {
        self.pending = None;
    }

    /// Whether a response waits for its acknowledgement.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The RSeq of the provisional response that waits for its PRACK.
    #[must_use]
    pub fn rseq(&self) -> Option<u32> {
        match self.pending.as_ref()?.kind {
            Kind::Provisional { rseq } => Some(rseq),
            Kind::Success => None,
        }
    }

    /// Whether a 2xx has to wait for the PRACK to a provisional response with a session description: for a while (RFC 3262, 3).
    #[must_use]
    pub fn holds_success(&self, now: Instant) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.kind != Kind::Success && now - pending.since < HOLD)
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| earlier(Some(pending.retransmission), pending.since + TIMEOUT))
    }

    /// Fires the timer, if it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due<'_>> {
        self.deadline().filter(|at| *at <= now)?;
        if self.pending.take_if(|pending| now - pending.since >= TIMEOUT).is_some() {
            return Some(Due::TimedOut);
        }
        let pending = self.pending.as_mut()?;
        let longest = (pending.kind == Kind::Success).then_some(T2);
        pending.retransmission.fired(now, longest);
        Some(Due::Retransmit(pending))
    }
}

/// The reliable provisional responses of one early dialog that its UAC has acknowledged (RFC 3262, 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Uac {
    /// The RSeq that is next, after the first one.
    next: Option<u32>,
}

impl Uac {
    /// Begins the PRACK to `response`. `None` where it gets none: it is not reliable, is a retransmission, or comes before its turn.
    pub fn prack(&mut self, dialog: &mut Dialog, response: &Message<'_>) -> Option<Writer> {
        let rseq = response.number(Name::RSeq).filter(|_| response.has_token(Name::Require, "100rel"))?;
        let cseq = response.cseq().ok()?;
        if self.next.is_some_and(|next| next != rseq) {
            return None;
        }
        self.next = Some(rseq.saturating_add(1));
        Some(dialog.request(Method::Prack).field("RAck", &format!("{rseq} {} {}", cseq.number, cseq.method)))
    }

    /// Takes note of a PRACK that failed, as something that was sent after it overtook it: the next retransmission of the response gets another.
    pub fn prack_failed(&mut self) {
        self.next = self.next.map(|next| next.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use offhook_sip::OwnedMessage;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_provisional_response_is_retransmitted_at_intervals_that_double() {
        let mut uas = Uas::new();
        uas.provisional(at(0), key(), invite("").get(), 7, "183".to_owned());
        assert_eq!(fires(&mut uas), [500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000]);
        assert!(!uas.is_pending());
    }

    #[test]
    fn a_2xx_is_retransmitted_every_t2_in_the_end() {
        let mut uas = Uas::new();
        uas.success(at(0), key(), invite("").get(), "200".to_owned());
        assert_eq!(fires(&mut uas), [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
        assert!(!uas.is_pending());
    }

    #[test]
    fn nothing_is_sent_before_its_time() {
        let mut uas = Uas::new();
        assert!(uas.deadline().is_none() && uas.handle_timeout(at(9)).is_none());
        uas.success(at(0), key(), invite("").get(), "200".to_owned());
        assert!(uas.handle_timeout(at(499)).is_none());
        assert!(matches!(uas.handle_timeout(at(500)), Some(Due::Retransmit(response)) if response.text == "200"));
        assert!(uas.handle_timeout(at(501)).is_none());
    }

    #[test]
    fn only_a_prack_with_rseq_cseq_and_method_acknowledges() {
        let mut uas = Uas::new();
        uas.provisional(at(0), key(), invite("").get(), 7, "183".to_owned());
        for rack in ["8 5 INVITE", "7 6 INVITE", "7 5 UPDATE", "7 5", "7", "x 5 INVITE", ""] {
            assert!(uas.acknowledge_provisional(request("PRACK", 6, &format!("RAck: {rack}\r\n")).get()).is_none(), "{rack}");
        }
        assert!(uas.acknowledge(request("ACK", 5, "").get()).is_none());
        assert_eq!(uas.rseq(), Some(7));
        let prack = request("PRACK", 6, "RAck: 7 5 INVITE\r\n");
        assert!(uas.acknowledge_provisional(prack.get()).is_some_and(|response| response.offers && response.text == "183"));
        assert!(uas.acknowledge_provisional(prack.get()).is_none(), "a second one finds nothing");
        assert!(!uas.is_pending());
    }

    #[test]
    fn only_an_ack_with_the_number_of_the_invite_acknowledges() {
        let mut uas = Uas::new();
        uas.success(at(0), key(), invite("").get(), "200".to_owned());
        assert!(uas.acknowledge(request("ACK", 4, "").get()).is_none());
        assert!(uas.acknowledge_provisional(request("PRACK", 6, "RAck: 0 5 INVITE\r\n").get()).is_none());
        assert!(uas.acknowledge(request("ACK", 5, "").get()).is_some_and(|response| response.offers && response.text == "200"));
        assert!(!uas.is_pending());
    }

    #[test]
    fn a_2xx_waits_for_the_prack_but_not_for_ever() {
        let mut uas = Uas::new();
        assert!(!uas.holds_success(at(0)));
        uas.provisional(at(0), key(), invite("").get(), 7, "183".to_owned());
        assert!(uas.holds_success(at(1_999)));
        assert!(!uas.holds_success(at(2_000)));
        uas.success(at(2_000), key(), invite("").get(), "200".to_owned());
        assert!(!uas.holds_success(at(2_000)), "it is out");
    }

    #[test]
    fn a_reinvite_stands_for_an_ack_that_brings_nothing() {
        for (sdp, pending) in [("Content-Type: application/sdp\r\n", false), ("", true)] {
            let mut uas = Uas::new();
            uas.success(at(0), key(), invite(sdp).get(), "200".to_owned());
            uas.reinvited();
            assert_eq!(uas.is_pending(), pending);
        }
    }

    #[test]
    fn rseq_is_in_the_range_of_the_rfc() {
        let mut random = Random::new([1; 32]);
        let drawn: Vec<u32> = (0..1_000).map(|_| draw_rseq(&mut random)).collect();
        assert!(drawn.iter().all(|rseq| (1..1 << 31).contains(rseq)));
        assert!(drawn.iter().any(|rseq| *rseq > 1 << 30));
    }

    #[test]
    fn each_provisional_response_is_acknowledged_once_and_in_order() {
        let (mut uac, mut dialog) = (Uac::default(), dialog());
        let mut acknowledged = |rseq: u32| rack(uac.prack(&mut dialog, provisional(rseq, "Require: 100rel\r\n").get()));
        assert_eq!(acknowledged(7).as_deref(), Some("7 5 INVITE"));
        assert_eq!(acknowledged(7), None, "a retransmission");
        assert_eq!(acknowledged(9), None, "8 is not there yet");
        assert_eq!(acknowledged(8).as_deref(), Some("8 5 INVITE"));
        assert_eq!(rack(uac.prack(&mut dialog, provisional(9, "").get())), None, "it is not reliable");
    }

    #[test]
    fn a_prack_that_failed_is_made_anew() {
        let (mut uac, mut dialog) = (Uac::default(), dialog());
        let response = provisional(7, "Require: 100rel\r\n");
        assert!(uac.prack(&mut dialog, response.get()).is_some());
        uac.prack_failed();
        assert_eq!(rack(uac.prack(&mut dialog, response.get())).as_deref(), Some("7 5 INVITE"));
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// When it retransmits, and at last when it times out, ms.
    fn fires(uas: &mut Uas) -> Vec<u128> {
        let mut fired = Vec::new();
        while let Some(due) = uas.deadline() {
            fired.push((due - at(0)).as_millis());
            let timed_out = matches!(uas.handle_timeout(due), Some(Due::TimedOut));
            assert_eq!(timed_out, uas.deadline().is_none());
        }
        fired
    }

    fn request(method: &str, number: u32, more: &str) -> OwnedMessage {
        let text = format!(
            "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n\
             CSeq: {number} {method}\r\n{more}\r\n"
        );
        OwnedMessage::parse(text).expect("a request")
    }

    fn invite(more: &str) -> OwnedMessage {
        request("INVITE", 5, more)
    }

    fn key() -> ServerKey {
        ServerKey::of(invite("").get()).expect("a key")
    }

    fn provisional(rseq: u32, more: &str) -> OwnedMessage {
        let text = format!(
            "SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/WS x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
             Call-ID: 1\r\nCSeq: 5 INVITE\r\nContact: <sip:a@e>\r\nRSeq: {rseq}\r\n{more}\r\n"
        );
        OwnedMessage::parse(text).expect("a response")
    }

    fn dialog() -> Dialog {
        Dialog::of_caller(provisional(1, "").get()).expect("a dialog")
    }

    fn rack(prack: Option<Writer>) -> Option<String> {
        let prack = OwnedMessage::parse(prack?.end()).expect("a request");
        prack.get().get(Name::RAck).map(str::to_owned)
    }
}
