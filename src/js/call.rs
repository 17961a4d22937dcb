//! A call, as pages know it.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::app::App;
use super::error::{record, sinch_error};
use super::listeners::Listeners;
use super::{class_of, prototype_of, text};
use crate::call::{CallId, CallInfo, Error};
use crate::client::Client;
use crate::time::Instant;
use crate::web::{Media, dom};

/// What an object [`Call`] stands for.
pub struct CallInner {
    /// Of the page.
    pub listeners: Listeners,
    app: Rc<App>,
    media: Rc<Media>,
    /// As of the last event that the page was told, or the page's own last command.
    info: RefCell<Rc<CallInfo>>,
    /// What the page gave to `callX`.
    headers: JsValue,
}

impl CallInner {
    /// A call of `app`.
    pub fn new(app: Rc<App>, info: Rc<CallInfo>, media: Rc<Media>, headers: JsValue) -> Self {
        Self { listeners: Listeners::default(), app, media, info: RefCell::new(info), headers }
    }

    /// Takes what is news; a call never goes back.
    pub fn update(&self, info: Rc<CallInfo>) {
        if info.state >= self.info.borrow().state {
            *self.info.borrow_mut() = info;
        }
    }

    /// Whether the page called.
    pub fn is_outgoing(&self) -> bool {
        self.info.borrow().outgoing
    }

    /// The stream from the other side.
    pub fn incoming_stream(&self) -> JsValue {
        self.media.incoming()
    }

    /// The stream to the other side.
    pub fn outgoing_stream(&self) -> JsValue {
        self.media.outgoing()
    }

    fn command(&self, command: fn(&mut Client, Instant, CallId) -> Result<(), Error>) -> Result<(), JsValue> {
        let id = self.info.borrow().id;
        self.commanded(self.app.driver.command(|client, now| command(client, now, id)))
    }

    /// The page sees at once what its command changed.
    fn commanded(&self, result: Result<(), Error>) -> Result<(), JsValue> {
        let id = self.info.borrow().id;
        if let Some(info) = self.app.driver.call_info(id) {
            self.update(info);
        }
        result.map_err(|error| sinch_error(&error))
    }
}

/// A call. There is one object for each.
#[wasm_bindgen(skip_typescript)]
pub struct Call(Option<Rc<CallInner>>);

impl Call {
    /// The object for a call.
    pub(super) const fn new(inner: Rc<CallInner>) -> Self {
        Self(Some(inner))
    }

    /// The class.
    pub(super) fn class() -> JsValue {
        class_of(&Self(None).into())
    }

    fn inner(&self) -> &CallInner {
        self.0.as_deref().expect("only `class` makes a call of nothing, and nobody gets it")
    }

    fn info(&self) -> Ref<'_, Rc<CallInfo>> {
        self.inner().info.borrow()
    }

    /// Something of the call as the page knows it.
    fn read(&self, what: fn(&CallInfo) -> JsValue) -> JsValue {
        what(&self.info())
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
        let id = self.info().id;
        if let Err(error) = inner.commanded(inner.app.driver.answer(id)) {
            inner.app.log("answer", &dom::get_string(&error, "message"));
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

    /// Sends tones.
    ///
    /// # Errors
    /// `SinchError` for keys other than `0-9 # * A-D`.
    #[wasm_bindgen(js_name = sendDTMF, skip_typescript)]
    pub fn send_dtmf(&self, keys: &JsValue) -> Result<(), JsValue> {
        let (id, keys) = (self.info().id, text(keys));
        let call = self.inner();
        call.commanded(call.app.driver.command(|client, now| client.send_dtmf(now, id, &keys)))
    }

    /// The id, the same on both sides.
    #[wasm_bindgen(js_name = getCallId, skip_typescript)]
    pub fn get_call_id(&self) -> JsValue {
        self.call_id()
    }

    /// The id, the same on both sides.
    #[wasm_bindgen(getter, js_name = callId, skip_typescript)]
    pub fn call_id(&self) -> JsValue {
        self.read(|info| info.call_id.as_str().into())
    }

    /// A snapshot of times and end.
    #[wasm_bindgen(js_name = getDetails, skip_typescript)]
    pub fn get_details(&self) -> JsValue {
        CallDetails::of(&self.info(), &self.error())
    }

    /// 1 for an outgoing call, 0 for an incoming one.
    #[wasm_bindgen(js_name = getDirection, skip_typescript)]
    pub fn get_direction(&self) -> JsValue {
        self.read(|info| i32::from(info.outgoing).into())
    }

    /// Whether the page called.
    #[wasm_bindgen(getter, js_name = callOutbound, skip_typescript)]
    pub fn call_outbound(&self) -> JsValue {
        self.read(|info| info.outgoing.into())
    }

    /// The other side: user, number, room or SIP address.
    #[wasm_bindgen(js_name = getRemoteUserId, skip_typescript)]
    pub fn get_remote_user_id(&self) -> JsValue {
        self.read(|info| if info.outgoing { &info.to_id } else { &info.from_id }.into())
    }

    /// `INITIATING`, `PROGRESSING`, `ESTABLISHED` or `ENDED`.
    #[wasm_bindgen(js_name = getState, skip_typescript)]
    pub fn get_state(&self) -> JsValue {
        self.read(|info| info.state.as_str().into())
    }

    /// The same as a number.
    #[wasm_bindgen(getter, js_name = callState, skip_typescript)]
    pub fn call_state(&self) -> JsValue {
        self.read(|info| (info.state as i32).into())
    }

    /// `NONE` until the call has ended.
    #[wasm_bindgen(js_name = getEndCause, skip_typescript)]
    pub fn get_end_cause(&self) -> JsValue {
        self.read(|info| info.end_cause.as_str().into())
    }

    /// The same as a number.
    #[wasm_bindgen(getter, js_name = callEndCause, skip_typescript)]
    pub fn call_end_cause(&self) -> JsValue {
        self.read(|info| (info.end_cause as i32).into())
    }

    /// What the caller sent along.
    #[wasm_bindgen(js_name = getHeaders, skip_typescript)]
    pub fn get_headers(&self) -> JsValue {
        let info = self.info();
        if info.outgoing { self.inner().headers.clone() } else { record(&info.headers) }
    }

    /// Who called.
    #[wasm_bindgen(getter, js_name = fromId, skip_typescript)]
    pub fn from_id(&self) -> JsValue {
        self.read(|info| info.from_id.as_str().into())
    }

    /// Who was called.
    #[wasm_bindgen(getter, js_name = toId, skip_typescript)]
    pub fn to_id(&self) -> JsValue {
        self.read(|info| info.to_id.as_str().into())
    }

    /// The name that the caller shows.
    #[wasm_bindgen(getter, js_name = displayName, skip_typescript)]
    pub fn display_name(&self) -> JsValue {
        self.read(|info| info.display_name.as_str().into())
    }

    /// `data`, `pstn`, `conference` or `sip`.
    #[wasm_bindgen(getter, js_name = callDomain, skip_typescript)]
    pub fn call_domain(&self) -> JsValue {
        self.read(|info| info.domain.as_str().into())
    }

    /// When it began to ring.
    #[wasm_bindgen(getter, js_name = timeProgressing, skip_typescript)]
    pub fn time_progressing(&self) -> JsValue {
        self.read(|info| date(info.progressing))
    }

    /// When it was answered.
    #[wasm_bindgen(getter, js_name = timeEstablished, skip_typescript)]
    pub fn time_established(&self) -> JsValue {
        self.read(|info| date(info.established))
    }

    /// When it ended.
    #[wasm_bindgen(getter, js_name = timeEnded, skip_typescript)]
    pub fn time_ended(&self) -> JsValue {
        self.read(|info| date(info.ended))
    }

    /// Why it failed.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn error(&self) -> JsValue {
        self.read(|info| info.error.as_ref().map_or(JsValue::NULL, sinch_error))
    }

    /// The same: the documentation of the original calls it so.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn errors(&self) -> JsValue {
        self.error()
    }

    /// Whether the page muted it.
    #[wasm_bindgen(getter, skip_typescript)]
    pub fn muted(&self) -> JsValue {
        self.read(|info| info.muted.into())
    }

    /// The stream from the other side.
    #[wasm_bindgen(getter, js_name = incomingStream, skip_typescript)]
    pub fn incoming_stream(&self) -> JsValue {
        self.inner().incoming_stream()
    }

    /// The stream to the other side.
    #[wasm_bindgen(getter, js_name = outgoingStream, skip_typescript)]
    pub fn outgoing_stream(&self) -> JsValue {
        self.inner().outgoing_stream()
    }

    /// What plays the stream from the other side as `src` of a media element.
    #[wasm_bindgen(getter, js_name = incomingStreamURL, skip_typescript)]
    pub fn incoming_stream_url(&self) -> JsValue {
        self.inner().media.incoming_url()
    }

    /// What plays the stream to the other side as `src` of a media element.
    #[wasm_bindgen(getter, js_name = outgoingStreamURL, skip_typescript)]
    pub fn outgoing_stream_url(&self) -> JsValue {
        self.inner().media.outgoing_url()
    }
}

/// The class of what [`Call::get_details`] gives: plain objects, but for their prototype.
#[wasm_bindgen(skip_typescript)]
pub struct CallDetails;

impl CallDetails {
    /// The class.
    pub(super) fn class() -> JsValue {
        class_of(&Self.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "a call lasts less than 2^53 ms")]
    fn of(info: &CallInfo, error: &JsValue) -> JsValue {
        let until = info.ended.unwrap_or_else(dom::now);
        let duration = info.established.map_or(0.0, |from| (until - from) as f64 / 1000.0);
        let prototype = prototype_of(&Self.into());
        let details = dom::call_of("Object", "create", prototype);
        dom::set(&details, "startedTime", date(info.progressing));
        dom::set(&details, "establishedTime", date(info.established));
        dom::set(&details, "endedTime", date(info.ended));
        dom::set(&details, "duration", duration.into());
        dom::set(&details, "endCause", (info.end_cause as i32).into());
        dom::set(&details, "error", error.clone());
        details
    }
}

#[expect(clippy::cast_precision_loss, reason = "dates have less than 2^53 ms")]
fn date(at: Option<Instant>) -> JsValue {
    at.map_or(JsValue::NULL, |at| dom::new1("Date", JsValue::from_f64(at.millis() as f64)))
}
