//! The microphone (and camera) that calls share, and what browsers let a page do with devices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{MediaDevices, MediaStream, MediaStreamConstraints, PermissionStatus};

use super::bindings::PermissionQuery;
use super::dom::{named_error, window};
use super::media::{is_live, is_video, put, same, stop, tracks};

/// Which kinds of tracks.
#[derive(Clone, Copy, PartialEq)]
pub struct Kinds {
    /// Sound.
    pub audio: bool,
    /// A picture.
    pub video: bool,
}

/// The microphone (and camera) that calls share, opened when the first needs it and closed when the last has ended.
#[derive(Default)]
pub struct Microphone {
    shared: RefCell<Option<MediaStream>>,
    /// The promise of the shared stream with tracks that are being opened, and which these are.
    opening: RefCell<Option<(Promise<MediaStream>, Kinds)>>,
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

    /// The stream of the app that calls send.
    #[must_use]
    pub fn adopted(&self) -> Option<MediaStream> {
        self.current().filter(|_| self.adopted.get())
    }

    /// The shared stream, while it is open.
    #[must_use]
    pub fn current(&self) -> Option<MediaStream> {
        self.shared.borrow().as_ref().map(same)
    }

    /// Returns a promise of the shared stream with live tracks of these kinds. A stream of the app is taken as it is, until it has ended.
    ///
    /// # Errors
    /// Where there is no `getUserMedia`: why.
    pub fn open(self: &Rc<Self>, wanted: Kinds) -> Result<Promise<MediaStream>, JsValue> {
        match self.adopted() {
            Some(stream) if tracks(&stream).all(|track| is_live(&track)) => return Ok(Promise::resolve(&stream)),
            Some(_) => self.close(),
            None => {}
        }
        let shared = self.current();
        let missing = |video| shared.iter().flat_map(tracks).all(|track| is_video(&track) != video || !is_live(&track));
        let kinds = Kinds { audio: wanted.audio && missing(false), video: wanted.video && missing(true) };
        if let Some(stream) = shared.as_ref().filter(|_| !kinds.audio && !kinds.video) {
            return Ok(Promise::resolve(stream));
        }
        let opening = self.opening.borrow().clone();
        match opening {
            Some((promise, opened)) if opened.audio >= kinds.audio && opened.video >= kinds.video => Ok(promise),
            _ => self.begin(kinds),
        }
    }

    fn begin(self: &Rc<Self>, kinds: Kinds) -> Result<Promise<MediaStream>, JsValue> {
        let (this, opened) = (self.clone(), JsFuture::from(get_user_media(kinds)?));
        let promise = future_to_promise(async move {
            let stream = opened.await;
            this.opening.take();
            Ok(this.opened(stream?).into())
        });
        let promise: Promise<MediaStream> = promise.unchecked_into();
        self.opening.replace(Some((promise.clone(), kinds)));
        Ok(promise)
    }

    /// Adds the tracks of a stream that was opened, and returns the shared stream. Meanwhile the app may have come with its own stream, and the
    /// call that asked may have ended.
    fn opened(&self, stream: MediaStream) -> MediaStream {
        let shared = match self.current() {
            None => stream,
            Some(shared) => {
                for track in tracks(&stream) {
                    if self.adopted.get() || tracks(&shared).any(|old| is_video(&old) == is_video(&track) && is_live(&old)) {
                        track.stop();
                    } else {
                        put(&shared, &track);
                    }
                }
                shared
            }
        };
        self.shared.replace(Some(same(&shared)));
        self.close_if_unused();
        shared
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

/// Returns the status that says whether the microphone opens without a prompt, where the browser has one.
pub async fn ask_permission() -> Result<PermissionStatus, JsValue> {
    let microphone: PermissionQuery = Object::new().unchecked_into();
    microphone.set_name("microphone");
    let status = window().navigator().permissions()?.query(&microphone)?.await?;
    Ok(status.unchecked_into())
}

/// Returns the devices of the page: it has none where it is not secure.
pub fn devices() -> Option<MediaDevices> {
    window().navigator().media_devices().ok().filter(|devices| !devices.is_undefined())
}

fn get_user_media(kinds: Kinds) -> Result<Promise<MediaStream>, JsValue> {
    let Some(devices) = devices() else {
        let message = if window().is_secure_context() { "This browser gives pages no microphone" } else { crate::client::INSECURE };
        return Err(named_error("NotSupportedError", message));
    };
    let constraints = MediaStreamConstraints::new();
    constraints.set_audio(&kinds.audio.into());
    constraints.set_video(&kinds.video.into());
    Ok(devices.get_user_media_with_constraints(&constraints)?.unchecked_into())
}
