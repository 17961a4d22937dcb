//! One call as a machine: the signalling of RFC 3261, 3262, 3311, 4028 and 8840, and the media tasks between.
//!
//! ```text
//! caller   Placing ── offer made, signed in ──▶ Inviting ── 2xx ──▶ Up ── BYE ──▶ gone
//!                                                  │ refused, gave up ──▶ gone (after the final answer)
//! callee   Ringing ── answer(), microphone open: 2xx ──▶ Up ── BYE ──▶ gone
//!              │ declined, cancelled ──▶ gone
//! ```
//!
//! What the app sees (`info.state`) may end before the signalling does: a caller who hangs up is told at once.

mod in_dialog;
mod leg;
mod media;
mod path;
mod uac;
mod uas;

use leg::Leg;
use media::{Media, Microphone};

use offhook_sip::{Message, Method, OwnedMessage, StatusCode};
use offhook_ua::TIMEOUT;
use offhook_ua::reliable::{self, Due};
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, ServerKey};

use super::context::{Asked, Awaited, Context, Owner};
use super::io::{Change, MediaError, Output, PeerId, TaskResult};
use super::timers::Timer;
use crate::client::call::{CallInfo, EndCause, Error, State};

/// One call.
pub struct Session {
    pub info: CallInfo,
    phase: Phase,
    /// The request-URI of the INVITE.
    uri: String,
    /// Headers of the app as they go on the wire.
    headers: Vec<(String, String)>,
    local_tag: String,
    /// Early dialogs; after the answer the one dialog of the call.
    legs: Vec<Leg>,
    media: Media,
    /// Our 2xx or reliable provisional response, until it is acknowledged.
    reliable: reliable::Uas,
    /// Caller: until when other forks may answer, too, and have to be turned away (RFC 3261, 13.2.2.4).
    forks_until: Instant,
    /// The highest number in CSeq that was used in an early dialog which another one's answer ended: its 2xx may still come.
    spent: u32,
    /// Callee: the connection that the INVITE came over.
    connection: u32,
    /// Our ACK, in case the 2xx comes again.
    ack: Option<String>,
    /// Offers within the call.
    exchange: Exchange,
    timer: SessionTimer,
    /// Caller: whether the other side is to be heard before the answer (RFC 5009): for the app, such a call is established.
    early: bool,
    /// Whether the app was told that the media is interrupted.
    interrupted: bool,
    /// The peer connection that the remote party closed, while it has offered no other one since.
    left: Option<PeerId>,
    /// Tones that wait for the one before them.
    tones: String,
    /// Whether its media was let go.
    released: bool,
    /// Nothing is left to do: the client drops it.
    pub done: bool,
}

/// Where the signalling of a call stands.
#[derive(Debug)]
enum Phase {
    /// Caller: the offer is being made, or we are not signed in yet.
    Placing,
    /// Caller: the INVITE is out.
    Inviting {
        key: ClientKey,
        /// Its number in CSeq.
        number: u32,
    },
    /// Callee: it rings.
    Ringing {
        key: ServerKey,
        /// The INVITE, to be answered.
        invite: OwnedMessage,
        /// Whether the caller can take an early answer.
        early: bool,
        /// Whether the app said `answer()`.
        answering: bool,
        /// Whether our SDP went out in a reliable provisional answer that the caller acknowledged.
        described: bool,
    },
    /// Answered.
    Up,
}

/// Who offers what within the call (RFC 3264): one at a time.
#[derive(Debug)]
enum Exchange {
    /// Nothing.
    Idle,
    /// We make an offer.
    Offering,
    /// Our offer is out, in an INVITE with this number in CSeq.
    Offered { number: u32 },
    /// We answer theirs: the request.
    Answering { key: ServerKey, request: OwnedMessage },
}

impl Session {
    fn new(context: &mut Context, info: CallInfo) -> Self {
        let (peer, local_tag) = (context.new_peer(), context.random.token());
        Self {
            info,
            phase: Phase::Placing,
            uri: String::new(),
            headers: Vec::new(),
            local_tag,
            legs: Vec::new(),
            media: Media::new(peer),
            reliable: reliable::Uas::new(),
            forks_until: Instant::default(),
            spent: 0,
            connection: 0,
            ack: None,
            exchange: Exchange::Idle,
            timer: SessionTimer::new(),
            early: false,
            interrupted: false,
            left: None,
            tones: String::new(),
            released: false,
            done: false,
        }
    }

    /// Whether the app sees it as over.
    pub fn is_over(&self) -> bool {
        self.info.state == State::Ended
    }

    /// Whether it was answered.
    fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    /// Whether it rings here.
    fn is_ringing(&self) -> bool {
        matches!(self.phase, Phase::Ringing { .. }) && !self.is_over()
    }

    /// The peer connection of the call.
    pub fn owns(&self, peer: PeerId) -> bool {
        self.media.peer == peer
    }

    /// Takes the result of a media task in.
    pub fn answered(&mut self, context: &mut Context, awaited: Awaited, result: TaskResult) {
        if self.is_over() {
            return;
        }
        match (awaited, result) {
            (Awaited::FirstOffer, TaskResult::Description(sdp)) if self.info.outgoing => self.offer_made(context, sdp),
            (Awaited::FirstOffer | Awaited::FirstAnswer, TaskResult::Description(sdp)) => self.answer_made(context, sdp),
            (Awaited::FirstAccept | Awaited::Reaccept, TaskResult::Done) => self.joined(context),
            (Awaited::Microphone, TaskResult::Done) => self.microphone_open(context),
            (Awaited::Reoffer, TaskResult::Description(sdp)) => self.reoffer_made(context, sdp),
            (Awaited::Reanswer, TaskResult::Description(sdp)) => self.reanswer_made(context, sdp),
            (Awaited::Sound, TaskResult::Done) => self.heard(context),
            (awaited, TaskResult::Failed(error)) => self.media_failed(context, awaited, &error),
            _ => {}
        }
    }

    /// Ends the call in whatever way its state asks for: CANCEL, BYE, or a refusal.
    pub fn hang_up(&mut self, context: &mut Context) {
        let cause = match (&self.phase, self.info.state) {
            (_, State::Established) => EndCause::HungUp,
            (Phase::Ringing { .. }, _) => EndCause::Denied,
            _ => EndCause::Canceled,
        };
        self.finish(context, cause, None, StatusCode::DECLINE);
    }

    /// Ends the call and tells the other side: CANCEL, BYE, or `code` to its INVITE.
    fn finish(&mut self, context: &mut Context, cause: EndCause, error: Option<Error>, code: StatusCode) {
        self.end(context, cause, error);
        match &self.phase {
            Phase::Placing => self.done = true,
            Phase::Inviting { .. } => self.cancel(context),
            Phase::Ringing { .. } => self.decline(context, code),
            Phase::Up => self.say_goodbye(context),
        }
    }

    /// The call is over for the app.
    fn end(&mut self, context: &mut Context, cause: EndCause, error: Option<Error>) {
        if self.is_over() {
            return;
        }
        self.info.state = State::Ended;
        self.info.end_cause = cause;
        self.info.ended = Some(context.now);
        self.info.error = error;
        context.timers.stop_call(self.info.id);
        context.timers.set(Timer::Forget(self.info.id), context.now + 2 * TIMEOUT);
        context.changed(Change::Ended, &self.info);
        self.watch_acknowledgement(context);
    }

    /// Lets the media of a call that is over go. After the farewell is on its way: a page that is being closed may get no further.
    pub fn release(&mut self, context: &mut Context) {
        if self.is_over() && !self.released {
            self.released = true;
            context.push(Output::Release { call: self.info.id });
        }
    }

    /// Sends BYE: at once, or, at the callee, as soon as its 2xx was acknowledged (RFC 3261, 15).
    fn say_goodbye(&mut self, context: &mut Context) {
        if self.reliable.is_pending() {
            return;
        }
        for leg in &mut self.legs {
            context.request(leg.dialog.request(Method::Bye), Owner::Call(self.info.id, Asked::Goodbye), None);
        }
        self.leave(context);
    }

    /// It rings at the other side, or here.
    fn progress(&mut self, context: &mut Context) {
        if self.info.state == State::Initiating {
            self.info.state = State::Progressing;
            self.info.progressing = Some(context.now);
            if self.info.outgoing {
                context.timers.stop(Timer::Progress(self.info.id));
                if !self.early {
                    context.changed(Change::Progressing, &self.info);
                }
            }
        }
    }

    /// It was answered, or is heard before that.
    fn establish(&mut self, context: &mut Context) {
        if self.info.state >= State::Established {
            return;
        }
        self.info.state = State::Established;
        self.info.established = Some(context.now);
        context.timers.stop(Timer::Answer(self.info.id));
        context.timers.stop(Timer::Progress(self.info.id));
        self.unmute(context);
        context.changed(Change::Established, &self.info);
        self.watch_path(context);
    }

    /// Sends our sound if the call was answered and the app did not mute it.
    fn unmute(&self, context: &mut Context) {
        if self.is_up() && self.info.state == State::Established && self.media.microphone == Microphone::Open {
            context.push(Output::Sending { call: self.info.id, on: !self.info.muted });
        }
    }

    /// The app mutes, or no longer.
    pub fn mute(&mut self, context: &mut Context, on: bool) {
        self.info.muted = on;
        self.unmute(context);
    }

    fn open_microphone(&mut self, context: &mut Context, granted: bool) {
        if self.media.microphone == Microphone::Closed {
            self.media.microphone = if granted { Microphone::Granted } else { Microphone::Asked };
            self.send_stream(context, Awaited::Microphone);
        }
    }

    fn microphone_open(&mut self, context: &mut Context) {
        self.media.microphone = Microphone::Open;
        context.changed(Change::LocalStream, &self.info);
        self.unmute(context);
        self.accept(context);
    }

    fn media_failed(&mut self, context: &mut Context, awaited: Awaited, error: &MediaError) {
        let fault = Error::Browser(error.clone());
        match awaited {
            Awaited::Nothing => {}
            Awaited::Sound => self.unheard(context),
            Awaited::Reoffer => self.exchange = Exchange::Idle,
            Awaited::Reanswer => self.reanswer_failed(context),
            // Their peer connection is another one now, and ours cannot follow.
            Awaited::Reaccept if self.media.joined && self.may_offer() => self.renew(context, true),
            _ => self.finish(context, EndCause::Failure, Some(fault), StatusCode::NOT_ACCEPTABLE_HERE),
        }
    }

    /// Time-out of a response that waits for its acknowledgement: retransmits it, or gives up.
    pub fn retransmit(&mut self, context: &mut Context) {
        match self.reliable.handle_timeout(context.now) {
            Some(Due::Retransmit(response)) => context.send(response.text.clone()),
            Some(Due::TimedOut) => {
                let error = Error::TimedOut("The caller did not acknowledge the answer");
                return self.finish(context, EndCause::Failure, Some(error), StatusCode::SERVER_TIMEOUT);
            }
            None => {}
        }
        self.watch_acknowledgement(context);
        self.accept(context);
    }

    /// Sets the timer of the response that waits for its acknowledgement.
    fn watch_acknowledgement(&self, context: &mut Context) {
        match self.reliable.deadline() {
            Some(at) => context.timers.set(Timer::Retransmit(self.info.id), at),
            None => context.timers.stop(Timer::Retransmit(self.info.id)),
        }
    }

    /// The position of the dialog that a request belongs to.
    pub fn leg_of(&self, request: &Message<'_>) -> Option<usize> {
        self.legs.iter().position(|leg| leg.dialog.receives(request))
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// Whether a CANCEL or a copy speaks of this call's INVITE.
    pub fn rings_for(&self, invite: &ServerKey) -> bool {
        matches!(&self.phase, Phase::Ringing { key, .. } if key == invite)
    }
}
