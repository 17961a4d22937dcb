//! One `RTCPeerConnection`: its events as inputs, and the steps of offer and answer.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use wasm_bindgen::prelude::*;

use super::Media;
use super::dom::{
    Dict, End, aborted, call_of, call0, call1, construct, dict, forget, get, get_in, get_number, get_string, invoke, is, items,
    keep, list0, list1, list2, nothing, promise, push, set, set_timeout, string, together, try_call,
};
use super::media::tracks;
use super::task::{settled, spawn};
use crate::client::{Ice, IceState, Input, PeerId, TaskKind, TaskResult};
use crate::sdp::{self, Candidate};
use crate::text::concat;

/// A peer connection of a call.
pub struct Peer {
    pub id: PeerId,
    pub media: Rc<Media>,
    /// An `RTCPeerConnection`.
    connection: JsValue,
    /// Gets every event of the connection.
    handler: Closure<dyn FnMut(JsValue)>,
    /// Candidates of the other side that came before the description they belong to.
    held: RefCell<Vec<JsValue>>,
    /// Lets whoever waits for the first candidate of ours go on.
    waiting: RefCell<JsValue>,
    closed: Cell<bool>,
    end: End,
}

/// How many candidates are held for a description that may never come.
const MOST_HELD: usize = 100;
/// How often is looked whether media arrives, ms.
const LOOK: u64 = 100;

impl Peer {
    /// A new connection that shows one of `certificates`, or one of its own where there is none. What happens to it goes to `tell`.
    ///
    /// # Errors
    /// What the browser says of the ICE servers, or where it has no WebRTC.
    pub fn new(
        id: PeerId,
        media: Rc<Media>,
        ice: &Ice,
        certificates: JsValue,
        tell: Box<dyn Fn(Input)>,
    ) -> Result<Rc<Self>, JsValue> {
        let configuration = configuration(ice).with("certificates", certificates);
        let connection = construct("RTCPeerConnection", list1(configuration.into()))?;
        let peer = Rc::new_cyclic(|peer: &Weak<Self>| {
            let peer = peer.clone();
            let handler = Closure::wrap(Box::new(move |event: JsValue| {
                if let Some(input) = peer.upgrade().and_then(|peer| peer.input(&event)) {
                    tell(input);
                }
            }) as Box<dyn FnMut(JsValue)>);
            Self {
                id,
                media,
                connection,
                handler,
                held: RefCell::default(),
                waiting: RefCell::new(nothing()),
                closed: Cell::new(false),
                end: End::ahead(),
            }
        });
        peer.listen(peer.handler.as_ref());
        Ok(peer)
    }

    fn listen(&self, handler: &JsValue) {
        for event in &["onicecandidate", "oniceconnectionstatechange", "ontrack"] {
            set(&self.connection, event, handler.clone());
        }
        for transceiver in &self.transceivers() {
            set(&get_in(transceiver, "sender", "transport"), "onstatechange", handler.clone());
        }
    }

    fn input(&self, event: &JsValue) -> Option<Input> {
        let peer = self.id;
        match get_string(event, "type").as_str() {
            "icecandidate" => {
                let found = get(event, "candidate");
                let text = get_string(&found, "candidate");
                // An empty candidate ends one generation, none at all ends the gathering.
                if found.is_object() && text.is_empty() {
                    return None;
                }
                invoke(&self.waiting.borrow(), JsValue::UNDEFINED);
                Some(if found.is_object() {
                    Input::Candidate { peer, candidate: candidate(&found, text) }
                } else {
                    Input::Gathered { peer }
                })
            }
            "track" => {
                self.media.receive(&get(event, "track"));
                Some(Input::RemoteTrack { peer })
            }
            "statechange" => is(&get(event, "target"), "state", "closed").then_some(Input::PeerGone { peer }),
            _ => {
                // By now there is a DTLS transport.
                self.listen(self.handler.as_ref());
                let state = IceState::from_str(&get_string(&self.connection, "iceConnectionState"));
                Some(Input::IceState { peer, state })
            }
        }
    }

    /// A task of offer and answer, step by step. What makes a description gives it with the candidates of the first `wait` milliseconds.
    ///
    /// # Errors
    /// What the browser says, or that the connection was closed meanwhile.
    pub async fn negotiate(self: &Rc<Self>, kind: &TaskKind) -> Result<TaskResult, JsValue> {
        let (step, argument) = match kind {
            TaskKind::Offer { ice, video, restart, .. } => {
                self.prepare(ice, *video)?;
                ("createOffer", dict().with("iceRestart", (*restart).into()))
            }
            TaskKind::Answer { offer, .. } => ("setRemoteDescription", description("offer", offer)),
            TaskKind::Accept { answer, .. } => ("setRemoteDescription", description("answer", answer)),
            _ => ("setLocalDescription", description("rollback", "")),
        };
        let mut local = settled(self.step(step, argument.into())?).await?;
        for candidate in &self.held.take() {
            self.add_candidate(candidate.clone());
        }
        let wait = match kind {
            TaskKind::Offer { wait, .. } => *wait,
            TaskKind::Answer { video, wait, .. } => {
                self.join(*video);
                // Without a description the browser makes the answer on the way.
                local = JsValue::UNDEFINED;
                *wait
            }
            _ => return self.unless_closed(TaskResult::Done),
        };
        settled(self.step("setLocalDescription", local)?).await?;
        // Nobody knows yet whether the other side takes candidates later, so a first one is waited for.
        if wait > 0 && !sdp::has_candidates(&self.local_sdp()) {
            let (first, resolve, _) = promise();
            set_timeout(resolve.clone(), wait);
            self.waiting.replace(resolve);
            settled(self.end.or(first)).await?;
        }
        self.unless_closed(TaskResult::Description(self.local_sdp()))
    }

    fn unless_closed(&self, result: TaskResult) -> Result<TaskResult, JsValue> {
        if self.closed.get() { Err(aborted()) } else { Ok(result) }
    }

    /// Has what an offer is about: audio, perhaps video, both ways.
    fn prepare(&self, ice: &Ice, video: bool) -> Result<(), JsValue> {
        if self.transceivers().is_empty() {
            self.add("audio")?;
            if video {
                self.add("video")?;
            }
        } else {
            // Credentials for TURN run out: an ICE restart needs those of now.
            call1(&self.connection, "setConfiguration", configuration(ice).into());
        }
        self.attach();
        Ok(())
    }

    /// Receives and sends what an offer asks for.
    fn join(&self, video: bool) {
        for transceiver in &self.transceivers() {
            if video || receives(transceiver) == "audio" {
                set(transceiver, "direction", "sendrecv".into());
                // So that the other side gets a stream with the track; browsers that cannot say so leave it out.
                call1(&get(transceiver, "sender"), "setStreams", self.media.local.clone());
            }
        }
        self.attach();
    }

    /// Sends the tracks of the call, once it is up. The browser is at it when this returns, and nothing has to wait for its end: no
    /// description tells of tracks.
    pub fn attach(&self) {
        if !self.media.is_sending() {
            return;
        }
        for track in &tracks(&self.media.local) {
            let sender = self.sender(&get(track, "kind"));
            if sender.is_object() && get(&sender, "track") != *track {
                forget(&call1(&sender, "replaceTrack", track.clone()));
            }
        }
    }

    /// Candidates of the other side; without any, there are no more.
    pub fn add_candidates(self: &Rc<Self>, candidates: &[Candidate], end: bool) {
        for Candidate { mid, line, text, ufrag } in candidates {
            let init = dict()
                .with("candidate", text.as_str().into())
                .with("sdpMid", if mid.is_empty() { JsValue::NULL } else { mid.as_str().into() })
                .with("sdpMLineIndex", (*line).into())
                .with("usernameFragment", ufrag.as_deref().map_or(JsValue::NULL, JsValue::from_str));
            self.add_candidate(init.into());
        }
        if end {
            self.add_candidate(JsValue::UNDEFINED);
        }
    }

    /// A candidate with the credentials of a description still to come is refused now and tried again with that description.
    fn add_candidate(self: &Rc<Self>, candidate: JsValue) {
        if !get(&self.connection, "remoteDescription").is_object() {
            return self.hold(candidate);
        }
        let added = self.step("addIceCandidate", candidate.clone()).unwrap_or_default();
        let peer = self.clone();
        spawn(async move {
            if settled(added).await.is_err() && !peer.closed.get() {
                peer.hold(candidate);
            }
        });
    }

    fn hold(&self, candidate: JsValue) {
        let mut held = self.held.borrow_mut();
        if held.len() < MOST_HELD {
            held.push(candidate);
        }
    }

    /// Waits until media arrives. What was on its way when a path broke still does: twice, with time between.
    ///
    /// # Errors
    /// Where none did for `wait` milliseconds; as [`Peer::negotiate`].
    pub async fn hear(&self, wait: u64) -> Result<TaskResult, JsValue> {
        let (mut before, mut news) = (-1.0, 0);
        for _ in 0..wait / LOOK {
            let (later, resolve, _) = promise();
            set_timeout(resolve, LOOK);
            let stats = call0(&self.connection, "getStats");
            let both = settled(together("all", stats, later)).await?;
            // Counted at each layer that counts them, the octets of media.
            let mut arrived = 0.0;
            for entry in &items(call0(&get(&both, "0"), "values")) {
                arrived += get_number(entry, "bytesReceived");
            }
            news += u8::from(arrived > before);
            before = arrived;
            if news == 3 {
                return Ok(TaskResult::Done);
            }
        }
        Err(aborted())
    }

    /// Tones by RTP, after those that are still being sent.
    pub fn send_tones(&self, keys: &str) {
        let dtmf = get(&self.sender(&"audio".into()), "dtmf");
        let tones = concat(&[&get_string(&dtmf, "toneBuffer"), keys]);
        call1(&dtmf, "insertDTMF", tones.into());
    }

    /// Ends it; what is under way fails with `AbortError`.
    pub fn close(&self) {
        if !self.closed.replace(true) {
            self.listen(&JsValue::NULL);
            call0(&self.connection, "close");
            self.end.reach();
        }
    }

    fn add(&self, kind: &str) -> Result<(), JsValue> {
        let streams = list1(self.media.local.clone());
        let init = dict().with("direction", "sendrecv".into()).with("streams", streams);
        try_call(&self.connection, "addTransceiver", list2(kind.into(), init.into())).map(drop)
    }

    fn transceivers(&self) -> Vec<JsValue> {
        items(call0(&self.connection, "getTransceivers"))
    }

    /// What sends tracks of that kind; `undefined` where nothing does.
    fn sender(&self, kind: &JsValue) -> JsValue {
        let transceivers = self.transceivers();
        let transceiver = transceivers.iter().find(|transceiver| receives(transceiver) == *kind);
        transceiver.map(|transceiver| get(transceiver, "sender")).unwrap_or_default()
    }

    fn local_sdp(&self) -> String {
        string(&get_in(&self.connection, "localDescription", "sdp"))
    }

    /// A promise of what a step comes to: a closed connection never settles its own.
    fn step(&self, method: &str, argument: JsValue) -> Result<JsValue, JsValue> {
        Ok(self.end.or(try_call(&self.connection, method, list1(argument))?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

fn description(kind: &str, sdp: &str) -> Dict {
    dict().with("type", kind.into()).with("sdp", sdp.into())
}

/// `audio` or `video`.
fn receives(transceiver: &JsValue) -> JsValue {
    get(&get_in(transceiver, "receiver", "track"), "kind")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a media line")]
fn candidate(found: &JsValue, text: String) -> Candidate {
    Candidate {
        mid: get_string(found, "sdpMid"),
        line: get_number(found, "sdpMLineIndex") as u16,
        text,
        ufrag: get(found, "usernameFragment").as_string(),
    }
}

/// Puts a certificate into `list` that lasts for a year. Where another device answers than the one whose early answer took the peer
/// connection, the offer for that device comes from another peer connection with the same certificate: this is an ICE restart, which every
/// browser takes. Firefox takes no other fingerprint in a new offer, against RFC 8842, 5.5.
pub fn make_certificate(list: &JsValue) {
    let kind = dict().with("name", "ECDSA".into()).with("namedCurve", "P-256".into());
    let kind = kind.with("expires", 31_536_000_000_f64.into());
    let making = call_of("RTCPeerConnection", "generateCertificate", kind.into());
    keep(&making, list);
}

fn configuration(ice: &Ice) -> Dict {
    let servers = list0();
    for server in ice.servers.iter() {
        let urls = list0();
        for url in &server.urls {
            push(&urls, url.as_str().into());
        }
        let mut entry = dict().with("urls", urls);
        if !server.username.is_empty() {
            entry = entry.with("username", server.username.as_str().into()).with("credential", server.credential.as_str().into());
        }
        push(&servers, entry.into());
    }
    let policy = if ice.relay_only { "relay" } else { "all" };
    dict().with("iceServers", servers).with("iceTransportPolicy", policy.into())
}
