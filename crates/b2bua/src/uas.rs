//! The caller's leg, where we are the UAS: provisional responses to its INVITE, the 200, their acknowledgements, and CANCEL.

use offhook_media::{Command, Leg};
use offhook_sip::{ApiCode, Message, Name, StatusCode, reply};
use offhook_ua::reliable::{self, Due};
use offhook_ua::transaction::ServerKey;

use super::Timer;
use super::call::{Call, Stage};
use super::context::{Context, SDP, description};
use super::failure::Failure;
use super::party::Invite;

impl Call {
    /// Answers a page's offer in a 183 before the callee has answered, so that ICE and DTLS come up while it rings (RFC 3262).
    pub(super) fn answer_early(&mut self, context: &mut Context) {
        let (Invite::Received { key, invite }, Some(sdp)) = (&self.page.invite, self.page.local.as_deref()) else { return };
        let (key, invite) = (key.clone(), invite.clone());
        let invite = invite.get();
        // There are no early media yet, and nothing rings (RFC 5009): only the media path comes up.
        let answer = self.page.reply(invite, StatusCode::SESSION_PROGRESS).field("P-Early-Media", "inactive");
        if !reliable::is_supported_by(invite) {
            return context.respond(Leg::Page, &key, answer.body(SDP, sdp));
        }
        let rseq = reliable::draw_rseq(&mut context.random);
        let text = answer.field("Require", "100rel").number("RSeq", rseq).body(SDP, sdp);
        self.page.reliable.provisional(context.now, key.clone(), invite, rseq, text.clone());
        self.watch_acknowledgement(context, Leg::Page);
        context.respond(Leg::Page, &key, text);
    }

    /// Sends the caller a provisional response, unless it has had the same; `early`: there are early media (RFC 5009).
    pub(super) fn send_provisional(&mut self, context: &mut Context, code: StatusCode, early: bool) {
        let leg = self.caller_leg();
        let provisional = (code, early || self.provisional.is_some_and(|(_, early)| early));
        if self.provisional == Some(provisional) || !matches!(self.stage, Stage::Preparing | Stage::Calling) {
            return;
        }
        self.provisional = Some(provisional);
        let party = self.party(leg);
        let Invite::Received { key, invite } = &party.invite else { return };
        let (key, received) = (key.clone(), invite.clone());
        let invite = received.get();
        if leg == Leg::Peer && invite.has_token(Name::Require, "100rel") {
            return self.send_reliable_provisional(context, &key, invite);
        }
        let answer = reply(invite, code, Some(&party.tag)).field("Contact", &party.contact);
        let answer = if provisional.1 { answer.field("P-Early-Media", "sendonly") } else { answer };
        context.respond(leg, &key, answer.end());
    }

    /// Sends a caller behind a trunk, who requires that, the last provisional response reliably, once the one before it is acknowledged (RFC 3262,
    /// 3). The first one to an INVITE without an offer has ours (RFC 3261, 13.2.1).
    fn send_reliable_provisional(&mut self, context: &mut Context, key: &ServerKey, invite: &Message<'_>) {
        let party = &mut self.peer;
        let Some(provisional) = self.provisional.filter(|_| !party.reliable.is_pending()) else { return };
        let rseq = match self.reliable {
            Some((last, _)) if last == provisional => return,
            Some((_, rseq)) => rseq + 1,
            None => reliable::draw_rseq(&mut context.random),
        };
        let answer = reply(invite, provisional.0, Some(&party.tag)).field("Contact", &party.contact);
        let answer = answer.field("Require", "100rel").number("RSeq", rseq);
        let text = match party.local.as_deref().filter(|_| invite.description().is_none() && !party.described) {
            Some(offer) => answer.body(SDP, offer),
            None => answer.end(),
        };
        party.reliable.provisional(context.now, key.clone(), invite, rseq, text.clone());
        self.reliable = Some((provisional, rseq));
        self.watch_acknowledgement(context, Leg::Peer);
        context.respond(Leg::Peer, key, text);
    }

    /// Takes a PRACK of the caller in.
    pub(super) fn provisional_acknowledged(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, prack: &Message<'_>) {
        let session = self.key.session();
        let party = self.party(leg);
        let Some(acknowledged) = party.reliable.acknowledge_provisional(prack) else {
            return context.reject(leg, key, prack, StatusCode::CALL_DOES_NOT_EXIST);
        };
        self.watch_acknowledgement(context, leg);
        context.respond(leg, key, reply(prack, StatusCode::OK, None).end());
        if acknowledged.offers && !self.party(leg).described {
            // Our response had the offer (RFC 3262, 5).
            let Some(sdp) = description(prack) else {
                return self.finish(context, "failed", &Failure::plain(StatusCode::NOT_ACCEPTABLE_HERE));
            };
            context.media(Command::Answered { session, leg, sdp: sdp.to_owned() });
        }
        let party = self.party(leg);
        party.described |= leg == Leg::Page || acknowledged.offers;
        if let (Leg::Peer, Invite::Received { key, invite }) = (leg, &party.invite) {
            let (key, invite) = (key.clone(), invite.clone());
            self.send_reliable_provisional(context, &key, invite.get());
        }
        self.accept(context);
    }

    /// Sends the 200 to the caller, once the callee has answered and no provisional response waits for its PRACK.
    pub(super) fn accept(&mut self, context: &mut Context) {
        let leg = self.caller_leg();
        if self.stage != Stage::Accepting {
            return;
        }
        let party = self.party(leg);
        if party.reliable.holds_success(context.now) {
            return;
        }
        let Invite::Received { key: server, invite } = std::mem::replace(&mut party.invite, Invite::Done) else { return };
        let (invite, Some(sdp)) = (invite.get(), party.local.take()) else { return };
        let answer = party.timer.answer(invite, party.reply(invite, StatusCode::OK));
        let answer = if party.described { answer.end() } else { answer.body(SDP, &sdp) };
        party.reliable.success(context.now, server.clone(), invite, answer.clone());
        if let Some(dialog) = party.dialog.as_mut() {
            dialog.confirmed = true;
        }
        self.watch_acknowledgement(context, leg);
        context.respond(leg, &server, answer);
        self.stage = Stage::Up;
        self.keep_alive(context, leg);
    }

    /// Takes the ACK to a 2xx of ours in.
    pub(super) fn acknowledged(&mut self, context: &mut Context, leg: Leg, ack: &Message<'_>) {
        let session = self.key.session();
        let Some(acknowledged) = self.party(leg).reliable.acknowledge(ack) else { return };
        self.watch_acknowledgement(context, leg);
        if self.is_over() {
            return self.send_bye(context, leg);
        }
        if acknowledged.offers && !self.party(leg).described {
            // Our 2xx had the offer (RFC 3261, 13.2.1).
            let Some(sdp) = description(ack) else {
                return self.finish(context, "failed", &Failure::plain(StatusCode::NOT_ACCEPTABLE_HERE));
            };
            context.media(Command::Answered { session, leg, sdp: sdp.to_owned() });
        }
    }

    /// Time-out of a response that waits for its acknowledgement: retransmits it, or gives up.
    pub(super) fn retransmit(&mut self, context: &mut Context, leg: Leg) {
        let over = self.is_over();
        let party = self.party(leg);
        match party.reliable.handle_timeout(context.now) {
            Some(Due::Retransmit(response)) => {
                if let Some(next_hop) = &party.next_hop {
                    context.retransmit(next_hop, &response.key, &response.text);
                }
            }
            Some(Due::TimedOut) if over => return self.send_bye(context, leg),
            Some(Due::TimedOut) if matches!(party.invite, Invite::Received { .. }) => return self.provisional_lost(context),
            Some(Due::TimedOut) => return self.lost(context, leg),
            None => {}
        }
        self.watch_acknowledgement(context, leg);
        self.accept(context);
    }

    /// Ends the call, as the caller did not acknowledge a provisional response (RFC 3262, 3).
    fn provisional_lost(&mut self, context: &mut Context) {
        let failure = Failure::new(StatusCode::SERVER_TIMEOUT, ApiCode::Timeout, "No sign of life from the caller");
        self.finish(context, "caller lost", &failure);
    }

    /// Sets the timer of the response that waits for its acknowledgement.
    pub(super) fn watch_acknowledgement(&mut self, context: &mut Context, leg: Leg) {
        let timer = Timer::Retransmit(self.key, leg);
        match self.party(leg).reliable.deadline() {
            Some(at) => context.timers.set(timer, at),
            None => context.timers.clear(&timer),
        }
    }

    /// Takes the caller's CANCEL in.
    pub(super) fn cancelled(&mut self, context: &mut Context, leg: Leg, reasons: Vec<String>) {
        if matches!(self.party(leg).invite, Invite::Received { .. }) {
            self.finish(context, "cancelled", &Failure::hung_up(StatusCode::REQUEST_TERMINATED, reasons));
        }
    }
}
