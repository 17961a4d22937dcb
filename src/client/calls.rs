//! What an app does with calls.

use offhook_ua::time::Instant;

use super::account::Phase;
use super::call::{CallId, CallInfo, Destination, Domain, EndCause, Error, State, check_headers};
use super::session::Session as Call;
use super::{Client, NOT_STARTED};

impl Client {
    /// Places a call. Nothing is sent before `poll`, and no event is delivered before the app had time to add its listeners.
    ///
    /// A call that cannot be placed is a call, too: nothing is sent for it, and its one event is that it has ended, with the error. So ends one
    /// to a destination or with headers that cannot be sent (5, 6003), and one of a client that is not started (5, 6000).
    pub fn call(&mut self, now: Instant, to: Destination, headers: Vec<(String, String)>) -> CallInfo {
        let wire = to.check().and_then(|()| check_headers(&headers, to.domain()));
        self.place(now, to, headers, wire)
    }

    /// Places a call that cannot be placed, for what the app found wrong with it.
    pub fn call_in_vain(&mut self, now: Instant, to: Destination, fault: Error) -> CallInfo {
        self.place(now, to, Vec::new(), Err(fault))
    }

    /// Adds a call. `wire`: its headers as they are sent, or why nothing can be.
    fn place(
        &mut self,
        now: Instant,
        to: Destination,
        headers: Vec<(String, String)>,
        wire: Result<Vec<(String, String)>, Error>,
    ) -> CallInfo {
        self.context.now = now;
        let idle = matches!(self.account.phase, Phase::Idle | Phase::Over);
        let wire = wire.and_then(|wire| if idle { Err(NOT_STARTED) } else { Ok(wire) });
        let info = CallInfo {
            id: self.new_id(),
            call_id: self.context.random.uuid(),
            outgoing: true,
            domain: to.domain(),
            from_id: self.context.user.clone(),
            to_id: to.id().to_owned(),
            display_name: String::new(),
            headers,
            state: State::Initiating,
            end_cause: EndCause::None,
            progressing: None,
            established: None,
            ended: None,
            error: None,
            muted: false,
            video: self.context.config.video && to.domain() == Domain::Data,
        };
        self.calls.push(Call::place(&mut self.context, info.clone(), to, wire));
        info
    }

    /// Answers a call that rings here; a second answer changes nothing. `granted`: the microphone opens without a prompt, so the 200 is sent at
    /// once. Otherwise the microphone is opened first, and without one the call is declined.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where the call is our own or over.
    pub fn answer(&mut self, now: Instant, id: CallId, granted: bool) -> Result<(), Error> {
        self.context.now = now;
        let (call, context) = self.active_call(id)?;
        if call.info.outgoing {
            return Err(Error::Misuse("Only an incoming call can be answered"));
        }
        call.answer(context, granted);
        self.settle();
        Ok(())
    }

    /// Ends a call in any state.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where it has ended already.
    pub fn hangup(&mut self, now: Instant, id: CallId) -> Result<(), Error> {
        self.context.now = now;
        let (call, context) = self.active_call(id)?;
        call.hang_up(context);
        self.settle();
        Ok(())
    }

    /// Sends silence instead of sound, or sound again.
    ///
    /// # Errors
    /// `InternalOther` (5, 6002) where the call is over.
    pub fn mute(&mut self, id: CallId, on: bool) -> Result<(), Error> {
        let (call, context) = self.active_call(id)?;
        call.mute(context, on);
        Ok(())
    }

    /// Sends DTMF digits; before the call is answered nothing happens.
    ///
    /// # Errors
    /// `MissingParameter` (5, 6003) for anything but `0-9 # * A-D`; `InternalOther` (5, 6002) where the call is over.
    pub fn send_dtmf(&mut self, now: Instant, id: CallId, digits: &str) -> Result<(), Error> {
        self.context.now = now;
        if digits.is_empty() || !digits.bytes().all(|b| matches!(b.to_ascii_uppercase(), b'0'..=b'9' | b'#' | b'*' | b'A'..=b'D')) {
            return Err(Error::argument("Tones are 0-9, #, * and A-D"));
        }
        let (call, context) = self.active_call(id)?;
        call.send_dtmf(context, digits);
        self.settle();
        Ok(())
    }
}
