//! The streams of a call, and the microphone that calls share.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use js_sys::{Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaStream, MediaStreamConstraints, MediaStreamTrack, MediaStreamTrackState, PermissionStatus};

use super::bindings::PermissionQuery;
use super::dom::{End, items, named_error, window};
use super::elements;
use crate::client::call::CallId;

/// The streams that a call sends and receives. Both stay the same objects for the whole call: where the call moves to another peer connection,
/// only their tracks change, and a media element that plays one goes on.
pub struct Media {
    /// The call.
    pub(super) id: CallId,
    /// The stream that is in the SDP, also while it is empty: so the remote party gets a stream and not only tracks.
    pub(super) local: MediaStream,
    remote: MediaStream,
    /// The stream that the call sends instead of the microphone.
    pub(super) custom: Option<MediaStream>,
    /// The URLs of both streams, once they were asked for.
    local_url: OnceCell<String>,
    remote_url: OnceCell<String>,
    /// Whether the call sends; `None` before it is answered.
    sending: Cell<Option<bool>>,
    released: Cell<bool>,
    /// Reached when the call is released.
    pub(super) end: End,
}

impl Media {
    /// Returns the empty streams of a new call, which sends `custom`, or the microphone where there is none.
    pub(super) fn new(id: CallId, custom: Option<MediaStream>) -> Self {
        let stream = || MediaStream::new().expect("a browser with WebRTC has it");
        Self {
            id,
            local: stream(),
            remote: stream(),
            custom,
            local_url: OnceCell::new(),
            remote_url: OnceCell::new(),
            sending: Cell::new(None),
            released: Cell::new(false),
            end: End::ahead(),
        }
    }

    /// Returns the stream that the call sends, once it has tracks.
    #[must_use]
    pub fn outgoing(&self) -> Option<MediaStream> {
        has_tracks(&self.local).then(|| same(&self.local))
    }

    /// Returns the stream that the call receives, once it has tracks.
    #[must_use]
    pub fn incoming(&self) -> Option<MediaStream> {
        has_tracks(&self.remote).then(|| same(&self.remote))
    }

    /// Returns a string that plays [`Media::outgoing`] where a page writes it to the `src` of a media element.
    pub fn outgoing_url(&self) -> Option<String> {
        self.url(&self.local, &self.local_url)
    }

    /// Returns a string that plays [`Media::incoming`] where a page writes it to the `src` of a media element.
    pub fn incoming_url(&self) -> Option<String> {
        self.url(&self.remote, &self.remote_url)
    }

    fn url(&self, stream: &MediaStream, url: &OnceCell<String>) -> Option<String> {
        if url.get().is_none() && (self.released.get() || !has_tracks(stream)) {
            return None;
        }
        Some(url.get_or_init(|| elements::publish(stream)).clone())
    }

    /// Takes clones of the tracks, so that muting or ending this call does not change others. They are silent until [`Media::send`].
    pub(super) fn take(&self, source: &MediaStream) {
        for track in tracks(source) {
            let own = MediaStreamTrack::clone(&track);
            own.set_enabled(self.sending.get() == Some(true));
            self.local.add_track(&own);
        }
        self.outgoing_url();
    }

    /// Enables all tracks, or disables the audio: a muted call goes on sending its video.
    pub(super) fn send(&self, on: bool) {
        self.sending.set(Some(on));
        for track in tracks(&self.local) {
            if on || track.kind() == "audio" {
                track.set_enabled(on);
            }
        }
    }

    /// Whether peers may have the tracks. Before the answer, the silence of disabled tracks would fill the remote jitter buffer, and the first
    /// word would be delayed by as much.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.get().is_some()
    }

    /// Receives `track` in place of any other of its kind.
    pub(super) fn receive(&self, track: &MediaStreamTrack) {
        for old in tracks(&self.remote) {
            if old != *track && old.kind() == track.kind() {
                self.remote.remove_track(&old);
            }
        }
        self.remote.add_track(track);
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
        for url in [&self.local_url, &self.remote_url].into_iter().filter_map(OnceCell::get) {
            elements::retire(url);
        }
    }
}

/// The microphone (and camera) that calls share, opened when the first needs it and closed when the last has ended.
#[derive(Default)]
pub struct Microphone {
    shared: RefCell<Option<MediaStream>>,
    /// The promise of a stream that is being opened, and whether with video.
    opening: RefCell<Option<(Promise<MediaStream>, bool)>>,
    calls: Cell<usize>,
    held: Cell<bool>,
    /// The shared stream is the app's own, which the SDK does not stop.
    adopted: Cell<bool>,
}

impl Microphone {
    /// Counts one more call.
    pub fn join(&self) {
        self.calls.set(self.calls.get() + 1);
    }

    /// Counts one call less.
    pub fn leave(&self) {
        self.calls.set(self.calls.get().saturating_sub(1));
        self.close_if_unused();
    }

    /// Keeps the microphone open between calls, or no longer.
    pub fn hold(&self, on: bool) {
        self.held.set(on);
        self.close_if_unused();
    }

    /// Takes a stream of the app for all calls without a stream of their own.
    pub fn adopt(&self, stream: MediaStream) {
        self.close();
        self.adopted.set(true);
        self.shared.replace(Some(stream));
    }

    /// Returns a promise of the shared stream.
    ///
    /// # Errors
    /// Where there is no `getUserMedia`: why.
    pub fn open(self: &Rc<Self>, video: bool) -> Result<Promise<MediaStream>, JsValue> {
        if let Some(stream) = self.current().filter(|stream| usable(stream, video)) {
            return Ok(Promise::resolve(&stream));
        }
        let opening = self.opening.borrow().clone();
        match opening {
            Some((promise, shows)) if shows || !video => Ok(promise),
            _ => self.begin(video),
        }
    }

    /// The shared stream, while it is open.
    #[must_use]
    pub fn current(&self) -> Option<MediaStream> {
        self.shared.borrow().clone()
    }

    fn begin(self: &Rc<Self>, video: bool) -> Result<Promise<MediaStream>, JsValue> {
        let promise = get_user_media(video)?;
        self.opening.replace(Some((promise.clone(), video)));
        let (this, opened) = (self.clone(), JsFuture::from(promise.clone()));
        // The call that asked may have ended by then, so the result is handled here.
        spawn_local(async move {
            let stream = opened.await;
            this.opening.take();
            if let Ok(stream) = stream {
                this.close();
                this.shared.replace(Some(stream));
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

    /// Closes it, also where calls need it.
    pub fn close(&self) {
        if let Some(stream) = self.shared.take()
            && !self.adopted.replace(false)
        {
            stop(&stream);
        }
    }
}

/// All tracks of a stream.
pub fn tracks(stream: &MediaStream) -> impl Iterator<Item = MediaStreamTrack> {
    items(&stream.get_tracks()).collect::<Vec<_>>().into_iter()
}

/// Returns another reference to the same stream: `stream.clone()` is the browser's method, which creates another stream.
pub fn same(stream: &MediaStream) -> MediaStream {
    Clone::clone(stream)
}

/// Whether a stream has tracks.
pub fn has_tracks(stream: &MediaStream) -> bool {
    stream.get_tracks().length() > 0
}

/// Whether a stream is live, and has video where `video` is set.
fn usable(stream: &MediaStream, video: bool) -> bool {
    tracks(stream).all(|track| track.ready_state() == MediaStreamTrackState::Live)
        && (!video || stream.get_video_tracks().length() > 0)
}

fn stop(stream: &MediaStream) {
    tracks(stream).for_each(|track| track.stop());
}

/// Returns the status that says whether the microphone opens without a prompt, where the browser has one.
pub async fn ask_permission() -> Result<PermissionStatus, JsValue> {
    let microphone: PermissionQuery = Object::new().unchecked_into();
    microphone.set_name("microphone");
    let status = window().navigator().permissions()?.query(&microphone)?.await?;
    Ok(status.unchecked_into())
}

fn get_user_media(video: bool) -> Result<Promise<MediaStream>, JsValue> {
    let devices = window().navigator().media_devices().ok().filter(|devices| !devices.is_undefined());
    let Some(devices) = devices else {
        let message = if window().is_secure_context() {
            "This browser gives pages no microphone"
        } else {
            "Browsers give the microphone to secure pages only: open this page over https or on localhost"
        };
        return Err(named_error("NotSupportedError", message));
    };
    let constraints = MediaStreamConstraints::new();
    constraints.set_audio(&JsValue::TRUE);
    constraints.set_video(&video.into());
    Ok(devices.get_user_media_with_constraints(&constraints)?.unchecked_into())
}
