//! The streams of a call.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use gloo_events::EventListener;
use web_sys::{MediaStream, MediaStreamTrack, MediaStreamTrackState};

use super::dom::{End, items};
use super::elements;
use crate::client::Input;
use crate::client::call::CallId;

/// The streams that a call sends and receives. Both stay the same objects for the whole call: where the call moves to another peer connection,
/// only their tracks change, and a media element that plays one goes on. The stream that it sends is there before its first track: a page may give it
/// to a media element while the microphone is still being opened.
pub struct Media {
    /// The call.
    pub(super) id: CallId,
    /// The stream that is in the SDP, also while it is empty: so the remote party gets a stream and not only tracks.
    pub(super) local: MediaStream,
    remote: MediaStream,
    /// The stream that the call sends instead of the microphone.
    pub(super) custom: Option<MediaStream>,
    /// The URL of the local stream.
    local_url: String,
    /// The URL of the remote stream, once it has tracks.
    remote_url: OnceCell<String>,
    /// Whether it was given what it sends.
    open: Cell<bool>,
    /// Whether its audio, and its video, are of a stream of the page and not of a device that the SDK has opened.
    theirs: [Cell<bool>; 2],
    /// Whether the call sends; `None` before it is answered.
    sending: Cell<Option<bool>>,
    released: Cell<bool>,
    /// Reached when the call is released.
    pub(super) end: End,
    /// Takes the inputs.
    tell: Rc<dyn Fn(Input)>,
    /// Listeners for the end of the audio (`false`) and the video (`true`) that the call sends.
    listeners: RefCell<Vec<(bool, EventListener)>>,
}

impl Media {
    /// Returns the empty streams of a new call, which sends `custom`, or the microphone where there is none. `tell` learns of tracks that end.
    pub(super) fn new(id: CallId, custom: Option<MediaStream>, tell: Rc<dyn Fn(Input)>) -> Self {
        let stream = || MediaStream::new().expect("a browser with WebRTC has it");
        let local = stream();
        Self {
            id,
            // Known before a page asks: `new Audio(call.outgoingStreamURL)` looks `Audio` up first.
            local_url: elements::publish(&local),
            local,
            remote: stream(),
            custom,
            remote_url: OnceCell::new(),
            open: Cell::new(false),
            theirs: Default::default(),
            sending: Cell::new(None),
            released: Cell::new(false),
            end: End::ahead(),
            tell,
            listeners: RefCell::default(),
        }
    }

    /// Returns the stream that the call sends.
    #[must_use]
    pub fn outgoing(&self) -> MediaStream {
        same(&self.local)
    }

    /// Returns the video track that the call sends, or the audio track.
    #[must_use]
    pub fn outgoing_track(&self, video: bool) -> Option<MediaStreamTrack> {
        tracks(&self.local).find(|track| is_video(track) == video)
    }

    /// Returns the stream that the call receives, once it has tracks.
    #[must_use]
    pub fn incoming(&self) -> Option<MediaStream> {
        has_tracks(&self.remote).then(|| same(&self.remote))
    }

    /// Returns a string that plays [`Media::outgoing`] where a page writes it to the `src` of a media element.
    #[must_use]
    pub fn outgoing_url(&self) -> String {
        self.local_url.clone()
    }

    /// Returns a string that plays [`Media::incoming`] where a page writes it to the `src` of a media element.
    pub fn incoming_url(&self) -> Option<String> {
        let url = &self.remote_url;
        if url.get().is_none() && (self.released.get() || !has_tracks(&self.remote)) {
            return None;
        }
        Some(url.get_or_init(|| elements::publish(&self.remote)).clone())
    }

    /// Sends the live audio and video of `source`, or `only` its video or its audio, in place of what it sends of that kind. `theirs`: it is a stream of
    /// the page. Returns whether there was audio, and whether video.
    pub(super) fn take(&self, source: &MediaStream, only: Option<bool>, theirs: bool) -> [bool; 2] {
        self.open.set(true);
        [false, true].map(|video| {
            let taken = only.is_none_or(|only| only == video) && self.take_kind(source, video);
            if taken {
                self.theirs_of(video).set(theirs);
            }
            taken
        })
    }

    /// Whether its video, or its audio, is of a stream of the page.
    pub(super) fn is_theirs(&self, video: bool) -> bool {
        self.theirs_of(video).get()
    }

    const fn theirs_of(&self, video: bool) -> &Cell<bool> {
        let [audio_theirs, video_theirs] = &self.theirs;
        if video { video_theirs } else { audio_theirs }
    }

    /// Takes a clone, so that muting or ending this call does not change others. It is silent until [`Media::send`], or as the track was that it
    /// replaces.
    fn take_kind(&self, source: &MediaStream, video: bool) -> bool {
        let Some(track) = tracks(source).find(|track| is_video(track) == video && is_live(track)) else { return false };
        let own = MediaStreamTrack::clone(&track);
        let old = put(&self.local, &own);
        own.set_enabled(old.as_ref().map_or_else(|| self.sends(video), MediaStreamTrack::enabled));
        if let Some(old) = old {
            old.stop();
        }
        let (tell, call) = (self.tell.clone(), self.id);
        // A track that we or the page stop ends without this event.
        let listener = EventListener::new(&own, "ended", move |_| tell(Input::LocalTrackEnded { call, video }));
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|(other, _)| *other != video);
        listeners.push((video, listener));
        true
    }

    /// Whether it was given what it sends, be it without tracks.
    pub(super) const fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Whether its video track, or its audio track, has ended.
    pub(super) fn lacks(&self, video: bool) -> bool {
        self.outgoing_track(video).is_some_and(|track| !is_live(&track))
    }

    /// Enables all tracks, or disables the audio.
    pub(super) fn send(&self, on: bool) {
        self.sending.set(Some(on));
        for track in tracks(&self.local) {
            if on || !is_video(&track) {
                track.set_enabled(on);
            }
        }
    }

    /// Whether a track of that kind is heard or seen: a muted call goes on sending its video.
    fn sends(&self, video: bool) -> bool {
        self.sending.get().is_some_and(|on| on || video)
    }

    /// Whether peers may have the tracks. Before the answer, the silence of disabled tracks would fill the remote jitter buffer, and the first
    /// word would be delayed by as much.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.get().is_some()
    }

    /// Receives `track` in place of any other of its kind.
    pub(super) fn receive(&self, track: &MediaStreamTrack) {
        put(&self.remote, track);
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
        self.listeners.take();
        [Some(&self.local_url), self.remote_url.get()].into_iter().flatten().for_each(|url| elements::retire(url));
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

/// Whether a stream has a track that has not ended.
pub fn has_live(stream: &MediaStream) -> bool {
    tracks(stream).any(|track| is_live(&track))
}

/// Stops all tracks of a stream.
pub fn stop(stream: &MediaStream) {
    tracks(stream).for_each(|track| track.stop());
}

/// Puts a track into a stream in place of any other of its kind, which is returned.
pub fn put(stream: &MediaStream, track: &MediaStreamTrack) -> Option<MediaStreamTrack> {
    let mut before = None;
    for old in tracks(stream) {
        if old != *track && is_video(&old) == is_video(track) {
            stream.remove_track(&old);
            before = Some(old);
        }
    }
    stream.add_track(track);
    before
}

/// Whether a track is video, not audio.
pub fn is_video(track: &MediaStreamTrack) -> bool {
    track.kind() == "video"
}

/// Whether a track has not ended.
pub fn is_live(track: &MediaStreamTrack) -> bool {
    track.ready_state() == MediaStreamTrackState::Live
}
