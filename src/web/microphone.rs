//! The microphone (and camera) that calls share, and what browsers let a page do with devices.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Object, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaDevices, MediaStream, MediaStreamConstraints, PermissionStatus};

use super::bindings::PermissionQuery;
use super::dom::{named_error, promise, window};
use super::media::{is_live, is_video, put, same, stop, tracks};

/// Which kinds of tracks.
#[derive(Clone, Copy, PartialEq)]
pub struct Kinds {
    /// Sound.
    pub audio: bool,
    /// A picture.
    pub video: bool,
}

/// The microphone (and camera) that calls share, opened when the first needs it and closed when the last has ended; and the stream of the page that
/// they send instead, which the SDK does not stop.
#[derive(Default)]
pub struct Microphone {
    shared: RefCell<Option<MediaStream>>,
    opening: RefCell<Vec<Opening>>,
    calls: Cell<usize>,
    held: Cell<bool>,
    adopted: RefCell<Option<MediaStream>>,
}

/// Tracks that are being opened.
struct Opening {
    /// The promise of the shared stream, with these tracks.
    promise: Promise<MediaStream>,
    /// Which they are.
    kinds: Kinds,
    /// Fulfils the promise.
    resolve: Function,
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

    /// Takes a stream of the page for all calls without a stream of their own. Who waits for the microphone gets that stream, and no device is left
    /// open.
    pub fn adopt(&self, stream: &MediaStream) {
        self.close();
        self.held.set(false);
        self.adopted.replace(Some(same(stream)));
        for opening in self.opening.take() {
            let _ = opening.resolve.call1(&JsValue::UNDEFINED, stream);
        }
    }

    /// Gives the stream of the page back: calls send the microphone again.
    pub fn disown(&self) {
        self.adopted.take();
    }

    /// The stream of the page that calls send.
    #[must_use]
    pub fn adopted(&self) -> Option<MediaStream> {
        self.adopted.borrow().as_ref().map(same)
    }

    /// The stream that calls share, while there is one.
    #[must_use]
    pub fn current(&self) -> Option<MediaStream> {
        self.adopted().or_else(|| self.shared())
    }

    fn shared(&self) -> Option<MediaStream> {
        self.shared.borrow().as_ref().map(same)
    }

    /// Returns a promise of the shared stream with live tracks of these kinds, from devices.
    ///
    /// # Errors
    /// Where there is no `getUserMedia`: why.
    pub fn open(self: &Rc<Self>, wanted: Kinds) -> Result<Promise<MediaStream>, JsValue> {
        let shared = self.shared();
        let missing = |video| shared.iter().flat_map(tracks).all(|track| is_video(&track) != video || !is_live(&track));
        let kinds = Kinds { audio: wanted.audio && missing(false), video: wanted.video && missing(true) };
        if let Some(stream) = shared.as_ref().filter(|_| !kinds.audio && !kinds.video) {
            return Ok(Promise::resolve(stream));
        }
        let covers = |opening: &&Opening| opening.kinds.audio >= kinds.audio && opening.kinds.video >= kinds.video;
        let opening = self.opening.borrow().iter().find(covers).map(|opening| opening.promise.clone());
        opening.map_or_else(|| self.begin(kinds), Ok)
    }

    fn begin(self: &Rc<Self>, kinds: Kinds) -> Result<Promise<MediaStream>, JsValue> {
        let asked = get_user_media(kinds)?;
        let (promise, resolve, reject) = promise();
        let promise: Promise<MediaStream> = promise.unchecked_into();
        self.opening.borrow_mut().push(Opening { promise: promise.clone(), kinds, resolve });
        let (this, own) = (self.clone(), JsValue::from(&promise));
        spawn_local(async move {
            let result = JsFuture::from(asked).await;
            let position = this.opening.borrow().iter().position(|opening| *opening.promise.unchecked_ref::<JsValue>() == own);
            let waiting = position.map(|position| this.opening.borrow_mut().remove(position));
            let _ = match (result, waiting) {
                (Ok(stream), Some(opening)) => opening.resolve.call1(&JsValue::UNDEFINED, &this.opened(stream)),
                // The page came with its own stream meanwhile.
                (Ok(stream), None) => {
                    stop(&stream);
                    Ok(JsValue::UNDEFINED)
                }
                (Err(error), _) => reject.call1(&JsValue::UNDEFINED, &error),
            };
        });
        Ok(promise)
    }

    /// Adds the tracks of a stream that was opened, and returns the shared stream. Meanwhile the call that asked may have ended.
    fn opened(&self, stream: MediaStream) -> MediaStream {
        let shared = match self.shared() {
            None => stream,
            Some(shared) => {
                for track in tracks(&stream) {
                    if tracks(&shared).any(|old| is_video(&old) == is_video(&track) && is_live(&old)) {
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
        if let Some(stream) = self.shared.take() {
            stop(&stream);
        }
    }
}

/// Returns the error where the page has given calls a stream that has ended.
pub fn ended() -> JsValue {
    let message = "The stream that the page gave has no live track: give another one, or call initStream() without a stream for the microphone";
    named_error("InvalidStateError", message)
}

/// Returns the status that says whether a device opens without a prompt, `microphone` or `camera`, where the browser has one.
pub async fn ask_permission(device: &str) -> Result<PermissionStatus, JsValue> {
    let query: PermissionQuery = Object::new().unchecked_into();
    query.set_name(device);
    let status = window().navigator().permissions()?.query(&query)?.await?;
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
