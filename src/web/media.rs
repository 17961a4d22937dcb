//! The streams of a call, and the microphone that calls share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::dom::{End, call0, call1, dict, error, get, get_in, global, is, items, keep, list1, new0, set, try_call};
use super::elements;
use super::task::{settled, spawn};
use crate::call::CallId;

/// A `MediaStream` of the browser; `undefined` where there is none.
pub type MediaStream = JsValue;

/// What one call sends and receives. Both streams stay the same objects for the whole call: where the call moves to another peer
/// connection, only their tracks change, and a media element that plays one goes on.
pub struct Media {
    /// The call.
    pub(super) id: CallId,
    /// The stream that goes into the SDP, also while it is empty: it gives the other side a stream and not only tracks.
    pub(super) local: MediaStream,
    remote: MediaStream,
    /// What the call sends instead of the microphone.
    pub(super) custom: MediaStream,
    /// The URLs of both streams, once they were asked for.
    local_url: RefCell<JsValue>,
    remote_url: RefCell<JsValue>,
    /// Whether the call sends; nothing before it is up.
    sending: Cell<Option<bool>>,
    released: Cell<bool>,
    /// Comes when the call is released.
    pub(super) end: End,
}

impl Media {
    /// The streams of a new call, empty. What it sends will come from `custom`, or from the microphone where there is none.
    pub(super) fn new(id: CallId, custom: MediaStream) -> Self {
        Self {
            id,
            local: new0("MediaStream"),
            remote: new0("MediaStream"),
            custom,
            local_url: RefCell::default(),
            remote_url: RefCell::default(),
            sending: Cell::new(None),
            released: Cell::new(false),
            end: End::ahead(),
        }
    }

    /// What the call sends, once it has something to send.
    #[must_use]
    pub fn outgoing(&self) -> MediaStream {
        filled(&self.local)
    }

    /// What the call receives, once there is something to receive.
    #[must_use]
    pub fn incoming(&self) -> MediaStream {
        filled(&self.remote)
    }

    /// A string that plays [`Media::outgoing`] where a page writes it to the `src` of a media element.
    pub fn outgoing_url(&self) -> JsValue {
        self.url(&self.local, &self.local_url)
    }

    /// A string that plays [`Media::incoming`] where a page writes it to the `src` of a media element.
    pub fn incoming_url(&self) -> JsValue {
        self.url(&self.remote, &self.remote_url)
    }

    fn url(&self, stream: &MediaStream, url: &RefCell<JsValue>) -> JsValue {
        let mut url = url.borrow_mut();
        if url.is_undefined() && !self.released.get() && has_tracks(stream) {
            *url = elements::publish(stream);
        }
        url.clone()
    }

    /// Takes clones of the tracks, so that muting or ending this call leaves others alone. They are silent until [`Media::send`].
    pub(super) fn take(&self, source: &MediaStream) {
        for track in &tracks(source) {
            let own = call0(track, "clone");
            set(&own, "enabled", (self.sending.get() == Some(true)).into());
            call1(&self.local, "addTrack", own);
        }
        self.outgoing_url();
    }

    /// Enables everything, or disables the sound: a muted call goes on showing its picture.
    pub(super) fn send(&self, on: bool) {
        self.sending.set(Some(on));
        for track in &tracks(&self.local) {
            if on || is(track, "kind", "audio") {
                set(track, "enabled", on.into());
            }
        }
    }

    /// Whether peers may have the tracks. Earlier, the silence of disabled tracks would travel while it rings and fill the other side's
    /// jitter buffer, and the first word would come late by as much.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.get().is_some()
    }

    /// Receives `track` in place of any other of its kind.
    pub(super) fn receive(&self, track: &JsValue) {
        for old in &tracks(&self.remote) {
            if old != track && get(old, "kind") == get(track, "kind") {
                call1(&self.remote, "removeTrack", old.clone());
            }
        }
        call1(&self.remote, "addTrack", track.clone());
        // Known before a page asks: `new Audio(call.incomingStreamURL)` looks `Audio` up first.
        self.incoming_url();
    }

    pub(super) const fn is_released(&self) -> bool {
        self.released.get()
    }

    /// Stops what the call sends and retires its URLs.
    pub(super) fn release(&self) {
        self.released.set(true);
        self.end.reach();
        stop(&self.local);
        elements::retire(&self.local_url.borrow());
        elements::retire(&self.remote_url.borrow());
    }
}

/// The microphone (and camera) that calls share, opened when the first needs it and closed when the last has ended.
#[derive(Default)]
pub struct Microphone {
    shared: RefCell<MediaStream>,
    /// The promise of a stream that is being opened, and whether with video.
    opening: RefCell<JsValue>,
    opening_video: Cell<bool>,
    calls: Cell<usize>,
    held: Cell<bool>,
    /// The shared stream is the app's own: it is not for us to stop.
    adopted: Cell<bool>,
}

impl Microphone {
    /// One more call.
    pub fn join(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    /// One call less.
    pub fn leave(&self) {
        self.calls.set(self.calls.get().saturating_sub(1));
        self.close_if_unused();
    }

    /// Keeps the microphone open between calls, or no longer.
    pub fn hold(&self, on: bool) {
        self.held.set(on);
        self.close_if_unused();
    }

    /// Takes the app's own stream for all calls that have none of their own.
    pub fn adopt(&self, stream: MediaStream) {
        self.close();
        self.adopted.set(true);
        self.shared.replace(stream);
    }

    /// The shared stream, or a promise of it where it is being opened.
    ///
    /// # Errors
    /// Why there is no `getUserMedia`.
    pub fn open(self: &Rc<Self>, video: bool) -> Result<JsValue, JsValue> {
        let stream = self.current();
        if usable(&stream, video) {
            return Ok(stream);
        }
        let opening = self.opening.borrow().clone();
        if opening.is_object() && (self.opening_video.get() || !video) { Ok(opening) } else { self.begin(video) }
    }

    /// The shared stream, while it is open.
    #[must_use]
    pub fn current(&self) -> MediaStream {
        self.shared.borrow().clone()
    }

    fn begin(self: &Rc<Self>, video: bool) -> Result<JsValue, JsValue> {
        let promise = get_user_media(video)?;
        self.opening.replace(promise.clone());
        self.opening_video.set(video);
        let (this, opened) = (self.clone(), promise.clone());
        // Whoever asked may be gone by then, so the result is taken care of here.
        spawn(async move {
            let stream = settled(opened).await;
            this.opening.take();
            if let Ok(stream) = stream {
                this.close();
                this.shared.replace(stream);
                this.close_if_unused();
            }
        });
        Ok(promise)
    }

    fn close_if_unused(&self) {
        if self.calls.get() == 0 && !self.held.get() {
            self.close();
        }
    }

    fn close(&self) {
        let stream = self.shared.take();
        if !self.adopted.replace(false) {
            stop(&stream);
        }
    }
}

/// All tracks of a stream.
pub fn tracks(stream: &MediaStream) -> Vec<JsValue> {
    items(call0(stream, "getTracks"))
}

/// Whether there is a stream with something in it.
pub fn has_tracks(stream: &MediaStream) -> bool {
    !tracks(stream).is_empty()
}

fn filled(stream: &MediaStream) -> MediaStream {
    if has_tracks(stream) { stream.clone() } else { JsValue::UNDEFINED }
}

/// Whether a stream is open, and has a picture where there shall be one.
fn usable(stream: &MediaStream, video: bool) -> bool {
    let (mut live, mut shows) = (stream.is_object(), !video);
    for track in &tracks(stream) {
        live &= is(track, "readyState", "live");
        shows |= is(track, "kind", "video");
    }
    live && shows
}

fn stop(stream: &MediaStream) {
    for track in &tracks(stream) {
        call0(track, "stop");
    }
}

/// Puts into `list` what tells whether the microphone would open without a question, where the browser says so.
pub fn ask_permission(list: &JsValue) {
    let permissions = get_in(&global(), "navigator", "permissions");
    keep(&call1(&permissions, "query", dict().with("name", "microphone".into()).into()), list);
}

fn get_user_media(video: bool) -> Result<JsValue, JsValue> {
    let devices = get_in(&global(), "navigator", "mediaDevices");
    if devices.is_undefined() {
        let fault = error(if get(&global(), "isSecureContext").is_truthy() {
            "This browser gives pages no microphone"
        } else {
            "Browsers give the microphone to secure pages only: open this page over https or on localhost"
        });
        set(&fault, "name", "NotSupportedError".into());
        return Err(fault);
    }
    let constraints = dict().with("audio", JsValue::TRUE).with("video", video.into());
    try_call(&devices, "getUserMedia", list1(constraints.into()))
}
