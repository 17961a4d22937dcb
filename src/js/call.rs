//! A call, as pages know it.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use js_sys::{Date, Error as JsError, Function, Object};
use offhook_ua::time::Instant;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{MediaStream, MediaStreamTrack};

use super::app::App;
use super::error::{record, sinch_error};
use super::listeners::Listeners;
use super::{class_of, text, warn};
use crate::client::Client;
use crate::client::call::{CallId, CallInfo, EndCause, Error, State};
use crate::web::{Media, dom};

/// The state of a [`Call`] object.
pub struct CallInner {
    /// Listeners of the page.
    pub listeners: Listeners,
    app: Rc<App>,
    media: Rc<Media>,
    /// The call after the last event that was delivered, or the last command of the page.
    info: RefCell<Rc<CallInfo>>,
    /// What the page gave to `callX` as headers.
    headers: JsValue,
    /// The error as an object, once it was read: it is the same one as long as the error is the same.
    error: RefCell<Option<(Error, JsValue)>>,
    /// Whether the page knows that its stream is there.
    streamed: Cell<bool>,
}

impl CallInner {
    /// Returns a call of `app`.
    pub fn new(app: Rc<App>, info: Rc<CallInfo>, media: Rc<Media>, headers: JsValue) -> Self {
        let listeners = Listeners::new("onCallEnded");
        listeners.hold();
        Self { listeners, app, media, info: RefCell::new(info), headers, error: RefCell::default(), streamed: Cell::new(false) }
    }

    /// Why it failed, for the page: `null` where it did not.
    fn error(&self) -> JsValue {
        let Some(error) = self.info.borrow().error.clone() else { return JsValue::NULL };
        let mut known = self.error.borrow_mut();
        match &*known {
            Some((same, object)) if *same == error => object.clone(),
            _ => known.insert((error.clone(), sinch_error(&error))).1.clone(),
        }
    }

    /// Takes a later state; a call never goes back.
    pub fn update(&self, info: Rc<CallInfo>) {
        if info.state >= self.info.borrow().state {
            *self.info.borrow_mut() = info;
        }
    }

    /// Ends the call, as the SDK itself has failed.
    pub fn fail(&self, error: &Error) {
        let mut info = CallInfo::clone(&self.info.borrow());
        info.state = State::Ended;
        info.end_cause = EndCause::Failure;
        info.ended = Some(dom::now());
        info.error = Some(error.clone());
        self.info.replace(Rc::new(info));
    }

    /// Whether the page called.
    pub fn is_outgoing(&self) -> bool {
        self.info.borrow().outgoing
    }

    /// Whether the page is told for the first time that its stream is there.
    pub fn streams_first(&self) -> bool {
        !self.streamed.replace(true)
    }

    /// The remote stream.
    pub fn incoming_stream(&self) -> Option<MediaStream> {
        self.media.incoming()
    }

    /// The local stream.
    pub fn outgoing_stream(&self) -> MediaStream {
        self.media.outgoing()
    }

    /// The video track of the local stream, or its audio track.
    pub fn outgoing_track(&self, video: bool) -> Option<MediaStreamTrack> {
        self.media.outgoing_track(video)
    }

    fn command(&self, command: fn(&mut Client, Instant, CallId) -> Result<(), Error>) -> Result<(), JsValue> {
        let id = self.info.borrow().id;
        self.commanded(self.app.driver().command(|client, now| command(client, now, id)))
    }

    /// Takes the state after a command, so that the page sees it at once.
    fn commanded(&self, result: Result<(), Error>) -> Result<(), JsValue> {
        let id = self.info.borrow().id;
        if let Some(info) = self.app.driver().call_info(id) {
            self.update(info);
        }
        result.map_err(|error| sinch_error(&error))
    }
}

/// A call. There is one object for each.
#[wasm_bindgen(skip_typescript)]
pub struct Call(Option<Rc<CallInner>>);

impl Call {
    /// Returns the object of a call.
    pub(super) const fn new(inner: Rc<CallInner>) -> Self {
        Self(Some(inner))
    }

    /// The class.
    pub(super) fn class() -> Function {
        class_of(&Self(None).into())
    }

    fn inner(&self) -> &CallInner {
        self.0.as_deref().expect("only `class` makes a call of nothing, and nobody gets it")
    }

    fn info(&self) -> Ref<'_, Rc<CallInfo>> {
        self.inner().info.borrow()
    }
}

#[wasm_bindgen]
impl Call {
    /// Adds a listener.
    #[wasm_bindgen(js_name = addEventListener, skip_typescript)]
    pub fn add_event_listener(&self, listener: JsValue) {
        self.inner().listeners.add(listener);
    }

    /// Removes a listener.
    #[wasm_bindgen(js_name = removeEventListener, skip_typescript)]
    pub fn remove_event_listener(&self, listener: &JsValue) {
        self.inner().listeners.remove(listener);
    }

    /// Answers. A call that has ended meanwhile, or was answered before, stays as it is.
    #[wasm_bindgen(skip_typescript)]
    pub fn answer(&self) {
        let inner = self.inner();
        if inner.is_outgoing() {
            return warn(
                "answer() is for calls that onIncomingCall has told of: this one was placed here, and the other side answers it",
            );
        }
        let id = self.info().id;
        if let Err(error) = inner.commanded(inner.app.driver().answer(id)) {
            inner.app.log("answer", &String::from(error.unchecked_into::<JsError>().message()));
        }
    }

    /// Ends, cancels or declines.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) where the call has ended.
    #[wasm_bindgen(skip_typescript)]
    pub fn hangup(&self) -> Result<(), JsValue> {
        self.inner().command(Client::hangup)
    }

    /// Sends silence.
    ///
    /// # Errors
    /// `SinchError` (5, 6002) where the call has ended.
    #[wasm_bindgen(skip_typescript)]
    pub fn mute(&self) -> Result<(), JsValue> {
        self.inner().command(|client, _, id| client.mute(id, true))
    }

    /// Sends sound again.
    ///
    /// # Errors
    /// As [`Call::mute`].
    #[wasm_bindgen(skip_typescript)]
    pub fn unmute(&self) -> Result<(), JsValue> {
        self.inner().command(|client, _, id| client.mute(id, false))
    }

    /// Sends DTMF digits.
    ///
    /// # Errors
    /// `SinchError` for digits other than `0-9 # * A-D`.
    #[wasm_bindgen(js_name = sendDTMF, skip_typescript)]
    pub fn send_dtmf(&self, keys: &JsValue) -> Result<(), JsValue> {
        let (id, keys) = (self.info().id, text(keys));
        let call = self.inner();
        call.commanded(call.app.driver().command(|client, now| client.send_dtmf(now, id, &keys)))
    }

    /// The id, the same at both ends.
    #[wasm_bindgen(js_name = getCallId, skip_typescript)]
    pub fn get_call_id(&self) -> String {
        self.call_id()
    }

    /// The id, the same at both ends.
    #[wasm_bindgen(getter, js_name = callId, skip_typescript)]
    pub fn call_id(&self) -> String {
        self.info().call_id.clone()
    }

    /// A snapshot of times and end.
    #[wasm_bindgen(js_name = getDetails, skip_typescript)]
    pub fn get_details(&self) -> Result<JsValue, JsValue> {
        CallDetails::of(&self.info(), self.inner().error())
    }

    /// 1 for an outgoing call, 0 for an incoming one.
    #[wasm_bindgen(js_name = getDirection, skip_typescript)]
    pub fn get_direction(&self) -> i32 {
        i32::from(self.info().outgoing)
    }

    /// Whether the page called.
    #[wasm_bindgen(getter, js_name = callOutbound, skip_typescript)]
    pub fn call_outbound(&self) -> bool {
        self.info().outgoing
    }

    /// The remote party: user, number, room or SIP address.
    #[wasm_bindgen(js_name = getRemoteUserId, skip_typescript)]
    pub fn get_remote_user_id(&self) -> String {
        let info = self.info();
        if info.outgoing { info.to_id.clone() } else { info.from_id.clone() }
    }

    /// `INITIATING`, `PROGRESSING`, `ESTABLISHED` or `ENDED`.
    #[wasm_bindgen(js_name = getState, skip_typescript)]
    pub fn get_state(&self) -> String {
        self.info().state.as_str().to_owned()
    }

    /// The same as a number.
    #[wasm_bindgen(getter, js_name = callState, skip_typescript)]
    pub fn call_state(&self) -> i32 {
        self.info().state as i32
    }

    /// `NONE` until the call has ended.
    #[wasm_bindgen(js_name = getEndCause, skip_typescript)]
    pub fn get_end_cause(&self) -> String {
        self.info().end_cause.as_str().to_owned()
    }

    /// The same as a number.
    #[wasm_bindgen(getter, js_name = callEndCause, skip_typescript)]
    pub fn call_end_cause(&self) -> i32 {
        self.info().end_cause as i32
    }

    /// The headers of the caller.
    #[wasm_bindgen(js_name = getHeaders, skip_typescript)]
    pub fn get_headers(&self) -> JsValue {
        let info = self.info();
        if info.outgoing { self.inner().headers.clone() } else { record(&info.headers) }
    }

    /// The caller.
    #[wasm_bindgen(getter, js_name = fromId, skip_typescript)]
    pub fn from_id(&self) -> String {
        self.info().from_id.clone()
    }

    /// The callee.
    #[wasm_bindgen(getter, js_name = toId, skip_typescript)]
    pub fn to_id(&self) -> String {
        self.info().to_id.clone()
    }

    /// The name that the caller shows.
    #[wasm_bindgen(getter, js_name = displayName, skip_typescript)]
    pub fn display_name(&self) -> String {
        self.info().display_name.clone()
    }

    /// `data`, `pstn`, `conference` or `sip`.
    #[wasm_bindgen(getter, js_name = callDomain, skip_typescript)]
    pub fn call_domain(&self) -> String {
        self.info().domain.as_str().to_owned()
    }

    /// When it began to ring.
    #[wasm_bindgen(getter, js_name = timeProgressing, skip_typescript)]
    pub fn time_progressing(&self) -> JsValue {
        date(self.info().progressing)
    }

    /// When it was answered.
    #[wasm_bindgen(getter, js_name = timeEstablished, skip_typescript)]
    pub fn time_established(&self) -> JsValue {
        date(self.info().established)
    }

    /// When it ended.
    #[wasm_bindgen(getter, js_name = timeEnded, skip_typescript)]
    pub fn time_ended(&self) -> JsValue {
        date(self.info().ended)
    }

    /// Why it failed.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn error(&self) -> JsValue {
        self.inner().error()
    }

    /// The same: the documentation of the original calls it so.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn errors(&self) -> JsValue {
        self.error()
    }

    /// Whether the page muted it.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn muted(&self) -> bool {
        self.info().muted
    }

    /// The remote stream.
    #[wasm_bindgen(getter, js_name = incomingStream, skip_typescript)]
    pub fn incoming_stream(&self) -> Option<MediaStream> {
        self.inner().incoming_stream()
    }

    /// The local stream.
    #[wasm_bindgen(getter, js_name = outgoingStream, skip_typescript)]
    pub fn outgoing_stream(&self) -> MediaStream {
        self.inner().outgoing_stream()
    }

    /// A string that plays the remote stream as `src` of a media element.
    #[wasm_bindgen(getter, js_name = incomingStreamURL, skip_typescript)]
    pub fn incoming_stream_url(&self) -> Option<String> {
        self.inner().media.incoming_url()
    }

    /// A string that plays the local stream as `src` of a media element.
    #[wasm_bindgen(getter, js_name = outgoingStreamURL, skip_typescript)]
    pub fn outgoing_stream_url(&self) -> String {
        self.inner().media.outgoing_url()
    }
}

/// The class of the objects of [`Call::get_details`]: plain, but for their prototype.
#[wasm_bindgen(skip_typescript)]
pub struct CallDetails;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    started_time: JsValue,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    established_time: JsValue,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    ended_time: JsValue,
    duration: f64,
    end_cause: i32,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    error: JsValue,
}

impl CallDetails {
    /// The class.
    pub(super) fn class() -> Function {
        class_of(&Self.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "a call lasts less than 2^53 ms")]
    fn of(info: &CallInfo, error: JsValue) -> Result<JsValue, JsValue> {
        let until = info.ended.unwrap_or_else(dom::now);
        let details = serde_wasm_bindgen::to_value(&Details {
            started_time: date(info.progressing),
            established_time: date(info.established),
            ended_time: date(info.ended),
            duration: info.established.map_or(0.0, |from| (until - from).as_millis() as f64 / 1000.0),
            end_cause: info.end_cause as i32,
            error,
        })?;
        let prototype = Object::get_prototype_of(&Self.into());
        Ok(Object::<JsValue>::set_prototype_of(details.unchecked_ref(), &prototype).into())
    }
}

#[expect(clippy::cast_precision_loss, reason = "dates have less than 2^53 ms")]
fn date(at: Option<Instant>) -> JsValue {
    at.map_or(JsValue::NULL, |at| Date::new(&(at.millis() as f64).into()).into())
}
