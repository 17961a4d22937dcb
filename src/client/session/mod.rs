//! The state machine of one call: its signalling (RFC 3261, 3262, 3311, 4028 and 8840), and the media tasks between.
//!
//! ```text
//! UAC   Placing ── offer made, signed in: INVITE ──▶ Inviting ── 2xx ──▶ Answered ── BYE ──▶ done
//!                                                       │ rejected, cancelled ──▶ done (after the final response)
//! UAS   Ringing ── answer(), microphone open: 2xx ──▶ Answered ── BYE ──▶ done
//!              │ declined, cancelled ──▶ done
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

use offhook_sip::{Message, Method, OwnedMessage, StatusCode, quote};
use offhook_ua::TIMEOUT;
use offhook_ua::reliable::{self, Due};
use offhook_ua::session_timer::{AGAIN, SessionTimer};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, ServerKey};

use super::context::{Context, Owner, Purpose, TaskPurpose};
use super::io::{Change, MediaError, Output, PeerId, TaskResult};
use super::timers::Timer;
use crate::client::call::{CallInfo, Destination, EndCause, Error, State};

/// One call.
pub struct Session {
    pub info: CallInfo,
    phase: Phase,
    /// UAC: whom it calls.
    to: Option<Destination>,
    /// The app's headers as they go on the wire.
    headers: Vec<(String, String)>,
    /// UAC: why the call cannot be placed.
    fault: Option<Error>,
    local_tag: String,
    /// The early dialogs; after the answer the one dialog of the call.
    legs: Vec<Leg>,
    media: Media,
    /// Our 2xx or reliable provisional response, until it is acknowledged.
    reliable: reliable::Uas,
    /// UAC: until when a 2xx of another fork may come, which gets ACK and BYE (RFC 3261, 13.2.2.4).
    forks_until: Instant,
    /// UAC: the highest CSeq number that was used in any early dialog: a fork that answers too late gets its BYE with a higher one.
    highest_number: u32,
    /// UAS: the connection that the INVITE came over.
    connection: u32,
    /// UAC: our ACK, for retransmissions of the 2xx.
    ack: Option<String>,
    /// The offer and answer under way within the call.
    offer_answer: OfferAnswer,
    timer: SessionTimer,
    /// UAC: whether there is early media (RFC 5009): for the app, such a call is established.
    early_media: bool,
    /// Whether the app was told that the media is interrupted.
    interrupted: bool,
    /// Our end of the peer connection that the remote party closed, until it offers another one.
    closed_peer: Option<PeerId>,
    /// DTMF digits to be sent by INFO; the first one waits for its response.
    dtmf: String,
    /// Whether its media was released.
    released: bool,
    /// Whether its signalling has ended, too: the client drops it.
    pub done: bool,
}

/// Where the signalling of a call stands.
#[derive(Debug)]
enum Phase {
    /// UAC: the offer is being made, or we are not signed in yet.
    Placing,
    /// UAC: the INVITE waits for its final response.
    Inviting {
        key: ClientKey,
        /// Its CSeq number.
        number: u32,
    },
    /// UAS: the INVITE waits for its final response.
    Ringing {
        key: ServerKey,
        invite: OwnedMessage,
        /// Whether the caller takes an answer in a reliable provisional response.
        early: bool,
        /// Whether the app called `answer()`.
        answering: bool,
        /// Whether the caller has acknowledged a provisional response with our description.
        described: bool,
    },
    /// The INVITE has its 2xx.
    Answered,
}

/// The offer and answer within a call (RFC 3264): one at a time.
#[derive(Debug)]
enum OfferAnswer {
    /// None is under way.
    Idle,
    /// Our offer is being made.
    Offering,
    /// Our offer is out, in a re-INVITE with this CSeq number.
    Offered { number: u32 },
    /// Our answer to this re-INVITE or UPDATE is being made; or an offer, where a re-INVITE had none.
    Answering { key: ServerKey, request: OwnedMessage },
    /// The same for a re-INVITE that the remote party has cancelled. `offered`: it had an offer.
    Cancelled { offered: bool },
}

impl Session {
    fn new(context: &mut Context, info: CallInfo) -> Self {
        let (peer, local_tag) = (context.new_peer(), context.random.token());
        Self {
            info,
            phase: Phase::Placing,
            to: None,
            headers: Vec::new(),
            fault: None,
            local_tag,
            legs: Vec::new(),
            media: Media::new(peer),
            reliable: reliable::Uas::new(),
            forks_until: Instant::default(),
            highest_number: 0,
            connection: 0,
            ack: None,
            offer_answer: OfferAnswer::Idle,
            timer: SessionTimer::new(),
            early_media: false,
            interrupted: false,
            closed_peer: None,
            dtmf: String::new(),
            released: false,
            done: false,
        }
    }

    /// Whether the app sees it as over.
    pub fn is_over(&self) -> bool {
        self.info.state == State::Ended
    }

    /// Whether its INVITE has a 2xx.
    fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered)
    }

    /// Whether it rings here.
    fn is_ringing(&self) -> bool {
        matches!(self.phase, Phase::Ringing { .. }) && !self.is_over()
    }

    /// The peer connection of the call.
    pub fn owns(&self, peer: PeerId) -> bool {
        self.media.peer == peer
    }

    /// Takes the result of a media task.
    pub fn handle_task_result(&mut self, context: &mut Context, purpose: TaskPurpose, result: TaskResult) {
        if self.is_over() {
            return;
        }
        match (purpose, result) {
            (TaskPurpose::InitialOffer, TaskResult::Description(sdp)) if self.info.outgoing => self.offer_created(context, sdp),
            (TaskPurpose::InitialOffer | TaskPurpose::InitialAnswer, TaskResult::Description(sdp)) => {
                self.description_created(context, sdp)
            }
            (TaskPurpose::InitialAccept | TaskPurpose::Reaccept, TaskResult::Done) => self.description_applied(context),
            (TaskPurpose::Microphone, TaskResult::Done) => self.microphone_opened(context),
            (TaskPurpose::Reopen { video }, TaskResult::Done) => self.track_reopened(context, video),
            (TaskPurpose::Reoffer, TaskResult::Description(sdp)) => self.send_reoffer(context, sdp),
            (TaskPurpose::Reanswer, TaskResult::Description(sdp)) => self.answer_created(context, sdp),
            (TaskPurpose::Listen, TaskResult::Done) => self.media_arrived(context),
            (purpose, TaskResult::Failed(error)) => self.media_failed(context, purpose, &error),
            _ => {}
        }
    }

    /// Ends the call by what its state asks for: CANCEL, BYE, or a final response. One that cannot be placed ends with its error all the same.
    pub fn hang_up(&mut self, context: &mut Context) {
        if self.fault.is_some() {
            return self.fail(context);
        }
        let cause = match (&self.phase, self.info.state) {
            (_, State::Established) => EndCause::HungUp,
            (Phase::Ringing { .. }, _) => EndCause::Denied,
            _ => EndCause::Canceled,
        };
        self.terminate(context, cause, None, StatusCode::DECLINE);
    }

    /// Ends the call and tells the peer by CANCEL, BYE, or a response with `code` to its INVITE.
    fn terminate(&mut self, context: &mut Context, cause: EndCause, error: Option<Error>, code: StatusCode) {
        self.report_end(context, cause, error);
        match &self.phase {
            Phase::Placing => self.done = true,
            Phase::Inviting { .. } => self.send_cancel(context),
            Phase::Ringing { .. } => self.reject(context, code),
            Phase::Answered => self.send_bye(context),
        }
    }

    /// Ends the call for the app.
    fn report_end(&mut self, context: &mut Context, cause: EndCause, error: Option<Error>) {
        if self.is_over() {
            return;
        }
        self.info.state = State::Ended;
        self.info.end_cause = cause;
        self.info.ended = Some(context.now);
        self.info.error = error;
        context.timers.stop_call(self.info.id);
        context.timers.set(Timer::Forget(self.info.id), context.now + 2 * TIMEOUT);
        context.call_changed(Change::Ended, &self.info);
        self.set_retransmission_timer(context);
    }

    /// Releases the media of a call that is over. The BYE goes out before that: a page that is being closed may get no further.
    pub fn release(&mut self, context: &mut Context) {
        if self.is_over() && !self.released {
            self.released = true;
            context.push(Output::Release { call: self.info.id });
        }
    }

    /// Sends BYE: at once, or, as the UAS, once its 2xx was acknowledged (RFC 3261, 15).
    fn send_bye(&mut self, context: &mut Context) {
        if self.reliable.is_pending() {
            return;
        }
        let reason = self.info.error.as_ref().map(|error| {
            let late = matches!(error, Error::TimedOut(_));
            reason(if late { StatusCode::REQUEST_TIMEOUT } else { StatusCode::NOT_ACCEPTABLE_HERE }, error)
        });
        for leg in &mut self.legs {
            let bye = leg.dialog.request(Method::Bye);
            let bye = reason.iter().fold(bye, |bye, reason| bye.field("Reason", reason));
            context.send_request(bye, Owner::Call(self.info.id, Purpose::Bye), None);
        }
        self.finish_signalling(context);
    }

    /// Tells the app that the call rings, at the remote party or here.
    fn report_progress(&mut self, context: &mut Context) {
        if self.info.state == State::Initiating {
            self.info.state = State::Progressing;
            self.info.progressing = Some(context.now);
            if self.info.outgoing {
                context.timers.stop(Timer::ProgressTimeout(self.info.id));
                if !self.early_media {
                    context.call_changed(Change::Progressing, &self.info);
                }
            }
        }
    }

    /// Tells the app that the call was answered, or has early media.
    fn report_established(&mut self, context: &mut Context) {
        if self.info.state >= State::Established {
            return;
        }
        self.info.state = State::Established;
        self.info.established = Some(context.now);
        context.timers.stop(Timer::AnswerTimeout(self.info.id));
        context.timers.stop(Timer::ProgressTimeout(self.info.id));
        self.update_sending(context);
        context.call_changed(Change::Established, &self.info);
        self.set_path_timers(context);
    }

    /// Has our sound sent if the call was answered and the app did not mute it.
    fn update_sending(&self, context: &mut Context) {
        if self.is_answered() && self.info.state == State::Established && self.media.microphone == Microphone::Open {
            context.push(Output::Sending { call: self.info.id, on: !self.info.muted });
        }
    }

    /// Mutes the call, or no longer.
    pub fn mute(&mut self, context: &mut Context, on: bool) {
        self.info.muted = on;
        self.update_sending(context);
    }

    fn open_microphone(&mut self, context: &mut Context, granted: bool) {
        if self.media.microphone == Microphone::Closed {
            self.media.microphone = if granted { Microphone::Granted } else { Microphone::Requested };
            self.attach_stream(context, TaskPurpose::Microphone);
        }
    }

    fn microphone_opened(&mut self, context: &mut Context) {
        self.media.microphone = Microphone::Open;
        context.call_changed(Change::LocalStream, &self.info);
        self.update_sending(context);
        self.send_ok_when_ready(context);
    }

    fn media_failed(&mut self, context: &mut Context, purpose: TaskPurpose, error: &MediaError) {
        let fault = Error::Browser(error.clone());
        match purpose {
            TaskPurpose::Nothing => {}
            TaskPurpose::Listen => self.media_missing(context),
            TaskPurpose::Reopen { video } => self.track_missing(context, video),
            TaskPurpose::Reoffer => {
                self.offer_answer = OfferAnswer::Idle;
                self.refresh_later(context, AGAIN);
            }
            TaskPurpose::Reanswer => self.answer_failed(context),
            // The remote peer connection is another one now, and ours cannot follow.
            TaskPurpose::Reaccept if self.media.remote_applied && self.may_offer() => self.reoffer_with_new_peer(context, true),
            _ => self.terminate(context, EndCause::Failure, Some(fault), StatusCode::NOT_ACCEPTABLE_HERE),
        }
    }

    /// Retransmits the response that was not acknowledged, or ends the call.
    pub fn retransmit(&mut self, context: &mut Context) {
        match self.reliable.handle_timeout(context.now) {
            Some(Due::Retransmit(response)) => context.send(response.text.clone()),
            Some(Due::TimedOut) => {
                let error = Error::TimedOut("The caller did not acknowledge the answer");
                return self.terminate(context, EndCause::Failure, Some(error), StatusCode::SERVER_TIMEOUT);
            }
            None => {}
        }
        self.set_retransmission_timer(context);
        self.send_ok_when_ready(context);
    }

    /// Sets the timer of the response that waits for its acknowledgement.
    fn set_retransmission_timer(&self, context: &mut Context) {
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

    /// Whether it rings for the INVITE with this key.
    pub fn is_ringing_for(&self, invite: &ServerKey) -> bool {
        matches!(&self.phase, Phase::Ringing { key, .. } if key == invite)
    }

    /// Whether the re-INVITE with this key waits for our answer.
    pub fn is_answering(&self, invite: &ServerKey) -> bool {
        matches!(&self.offer_answer, OfferAnswer::Answering { key, .. } if key == invite)
    }
}

/// Returns the Reason (RFC 3326) of what ends a call for an error: the remote party is told what has failed, too.
fn reason(code: StatusCode, error: &Error) -> String {
    let text = match error {
        // The words of our browser would be taken for those of the browser there.
        Error::Browser(_) => "The microphone or the media of the other side failed".to_owned(),
        error => error.to_string(),
    };
    format!("SIP;cause={code};text={}", quote(&text))
}
