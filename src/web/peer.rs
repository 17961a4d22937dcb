//! One `RTCPeerConnection`: its events as inputs, and the steps of offer and answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MediaStream, MediaStreamTrack, RtcPeerConnection, RtcRtpTransceiver};

use super::Media;
use super::dom::{Gate, call, dict, get, get_string, global_value, nothing, promise, set, set_timeout};
use super::media::tracks;
use crate::client::{Ice, IceState, Input, PeerId};
use crate::sdp::{self, Candidate};

/// Gets every event of the connection.
type Handler = Closure<dyn FnMut(JsValue)>;

/// A peer connection of a call.
pub struct Peer {
    pub id: PeerId,
    pub media: Rc<Media>,
    connection: RtcPeerConnection,
    handler: RefCell<Option<Handler>>,
    /// Candidates of the other side that came before the description they belong to.
    held: RefCell<Vec<JsValue>>,
    /// Who waits for the first candidate of ours.
    waiting: RefCell<Option<js_sys::Function>>,
    closed: Cell<bool>,
    end: Gate,
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
        certificates: &Array,
        tell: Box<dyn Fn(Input)>,
    ) -> Result<Rc<Self>, JsValue> {
        let configuration = configuration(ice);
        set(&configuration, "certificates", certificates);
        let connection = RtcPeerConnection::new_with_configuration(configuration.unchecked_ref())?;
        let peer = Rc::new(Self {
            id,
            media,
            connection,
            handler: RefCell::default(),
            held: RefCell::default(),
            waiting: RefCell::default(),
            closed: Cell::new(false),
            end: Gate::closed(),
        });
        let weak = Rc::downgrade(&peer);
        let handler = Closure::wrap(Box::new(move |event: JsValue| {
            if let Some(input) = weak.upgrade().and_then(|peer| peer.input(&event)) {
                tell(input);
            }
        }) as Box<dyn FnMut(JsValue)>);
        peer.listen(Some(handler.as_ref().unchecked_ref()));
        *peer.handler.borrow_mut() = Some(handler);
        Ok(peer)
    }

    fn listen(&self, handler: Option<&js_sys::Function>) {
        self.connection.set_onicecandidate(handler);
        self.connection.set_oniceconnectionstatechange(handler);
        self.connection.set_ontrack(handler);
        for transceiver in self.transceivers() {
            let handler = handler.map_or(JsValue::NULL, JsValue::from);
            set(&get(&transceiver.sender(), "transport"), "onstatechange", &handler);
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
                if let Some(waiting) = self.waiting.take() {
                    let _ = waiting.call0(&JsValue::UNDEFINED);
                }
                Some(if found.is_object() {
                    Input::Candidate { peer, candidate: candidate(&found, text) }
                } else {
                    Input::Gathered { peer }
                })
            }
            "track" => {
                self.media.receive(get(event, "track").unchecked_ref());
                Some(Input::RemoteTrack { peer })
            }
            "statechange" => (get_string(&get(event, "target"), "state") == "closed").then_some(Input::PeerGone { peer }),
            _ => {
                // By now there is a DTLS transport.
                self.listen(self.handler.borrow().as_ref().map(|handler| handler.as_ref().unchecked_ref()));
                let state = IceState::from_str(&get_string(&self.connection, "iceConnectionState"));
                Some(Input::IceState { peer, state })
            }
        }
    }

    /// An offer with what there is to send now. Gives the local description with the candidates of the first `wait` milliseconds.
    ///
    /// # Errors
    /// What the browser says, or that the connection was closed meanwhile.
    pub async fn offer(&self, ice: &Ice, video: bool, restart: bool, wait: u64) -> Result<String, JsValue> {
        if self.transceivers().next().is_none() {
            self.add("audio")?;
            if video {
                self.add("video")?;
            }
        } else {
            // Credentials for TURN run out: an ICE restart needs those of now.
            let _ = self.connection.set_configuration_with_configuration(configuration(ice).unchecked_ref());
        }
        self.attach().await?;
        let options = dict(&[("iceRestart", restart.into())]);
        let offer = self.step(&self.connection.create_offer_with_rtc_offer_options(options.unchecked_ref())).await?;
        self.describe(&offer, wait).await
    }

    /// An answer to `offer`, receiving and sending what it asks for. Gives the same as [`Peer::offer`].
    ///
    /// # Errors
    /// As there.
    pub async fn answer(self: &Rc<Self>, offer: &str, video: bool, wait: u64) -> Result<String, JsValue> {
        self.remote("offer", offer).await?;
        for transceiver in self.transceivers() {
            if video || kind(&transceiver) == "audio" {
                set(&transceiver, "direction", &"sendrecv".into());
                // So that the other side gets a stream with the track; browsers that cannot say so leave it out.
                let _ = call(&transceiver.sender(), "setStreams", &Array::of1(self.media.local()));
            }
        }
        self.attach().await?;
        let answer = self.step(&self.connection.create_answer()).await?;
        self.describe(&answer, wait).await
    }

    /// Takes the other side's description, and the candidates that came too early for it.
    ///
    /// # Errors
    /// As [`Peer::offer`].
    pub async fn remote(self: &Rc<Self>, kind: &str, sdp: &str) -> Result<(), JsValue> {
        self.step(&self.connection.set_remote_description(description(kind, sdp).unchecked_ref())).await?;
        for candidate in self.held.take() {
            self.add_candidate(candidate);
        }
        Ok(())
    }

    /// Takes the local offer back.
    ///
    /// # Errors
    /// As [`Peer::offer`].
    pub async fn rollback(&self) -> Result<(), JsValue> {
        let rollback = dict(&[("type", "rollback".into())]);
        self.step(&self.connection.set_local_description(rollback.unchecked_ref())).await.map(drop)
    }

    /// Sends the tracks of the call, once it is up.
    ///
    /// # Errors
    /// As [`Peer::offer`].
    pub async fn attach(&self) -> Result<(), JsValue> {
        if !self.media.is_sending() {
            return Ok(());
        }
        for track in self.media.outgoing().into_iter().flat_map(tracks) {
            let wanted = track.kind();
            let sender = self.transceivers().find(|transceiver| kind(transceiver) == wanted).map(|found| found.sender());
            if let Some(sender) = sender.filter(|sender| sender.track().as_ref() != Some(&track)) {
                self.step(&sender.replace_track(Some(&track))).await?;
            }
        }
        Ok(())
    }

    /// Candidates of the other side; without any, there are no more.
    pub fn add_candidates(self: &Rc<Self>, candidates: &[Candidate], end: bool) {
        for Candidate { mid, line, text, ufrag } in candidates {
            let init = [
                ("candidate", text.as_str().into()),
                ("sdpMid", if mid.is_empty() { JsValue::NULL } else { mid.as_str().into() }),
                ("sdpMLineIndex", (*line).into()),
                ("usernameFragment", ufrag.as_deref().map_or(JsValue::NULL, JsValue::from_str)),
            ];
            self.add_candidate(dict(&init));
        }
        if end {
            self.add_candidate(JsValue::UNDEFINED);
        }
    }

    /// A candidate with the credentials of a description still to come is refused now and tried again with that description.
    fn add_candidate(self: &Rc<Self>, candidate: JsValue) {
        if self.connection.remote_description().is_none() {
            return self.hold(candidate);
        }
        let init = Some(&candidate).filter(|candidate| candidate.is_object()).map(JsCast::unchecked_ref);
        let added = self.connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(init);
        let peer = self.clone();
        spawn_local(async move {
            if peer.step(&added).await.is_err() && !peer.closed.get() {
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
    /// Where none did for `wait` milliseconds; as [`Peer::offer`].
    pub async fn hear(&self, wait: u64) -> Result<(), JsValue> {
        let (mut before, mut news) = (-1.0, 0);
        for _ in 0..wait / LOOK {
            let (later, resolve, _) = promise();
            set_timeout(&resolve, LOOK);
            let stats = call(&self.connection, "getStats", &Array::new())?;
            let both = JsFuture::from(Promise::all(&Array::of2(&stats, &later))).await?;
            // Counted at each layer that counts them, the octets of media.
            let entries = Array::from(&call(&get(&both, "0"), "values", &Array::new())?);
            let arrived = entries.iter().filter_map(|entry| get(&entry, "bytesReceived").as_f64()).sum();
            news += u8::from(arrived > before);
            before = arrived;
            if news == 3 {
                return Ok(());
            }
        }
        Err(super::tasks::aborted())
    }

    /// Tones by RTP, after those that are still being sent.
    pub fn send_tones(&self, keys: &str) {
        let audio = self.transceivers().find(|transceiver| kind(transceiver) == "audio");
        if let Some(sender) = audio.and_then(|transceiver| transceiver.sender().dtmf()) {
            let tones = [&sender.tone_buffer(), keys].concat();
            let _ = call(&sender, "insertDTMF", &Array::of1(&tones.into()));
        }
    }

    /// Ends it; what is under way fails with `AbortError`.
    pub fn close(&self) {
        if !self.closed.replace(true) {
            self.listen(None);
            self.handler.take();
            self.connection.close();
            self.end.open();
        }
    }

    fn add(&self, kind: &str) -> Result<(), JsValue> {
        let streams: &MediaStream = self.media.local();
        let init = dict(&[("direction", "sendrecv".into()), ("streams", Array::of1(streams).into())]);
        call(&self.connection, "addTransceiver", &Array::of2(&kind.into(), &init)).map(drop)
    }

    fn transceivers(&self) -> impl Iterator<Item = RtcRtpTransceiver> + use<> {
        self.connection.get_transceivers().into_iter().map(JsValue::unchecked_into)
    }

    /// Sets the local description and waits for a first candidate: nobody knows yet whether the other side takes any later.
    async fn describe(&self, made: &JsValue, wait: u64) -> Result<String, JsValue> {
        self.step(&self.connection.set_local_description(made.unchecked_ref())).await?;
        if wait > 0 && !sdp::has_candidates(&self.local_sdp()) {
            let (first, resolve, _) = promise();
            set_timeout(&resolve, wait);
            *self.waiting.borrow_mut() = Some(resolve);
            self.step(&first).await?;
        }
        Ok(self.local_sdp())
    }

    fn local_sdp(&self) -> String {
        self.connection.local_description().map(|local| local.sdp()).unwrap_or_default()
    }

    /// Waits for one step: a closed connection never settles its promises.
    async fn step(&self, promise: &Promise) -> Result<JsValue, JsValue> {
        let result = self.end.or(promise).await?;
        if self.closed.get() { Err(super::tasks::aborted()) } else { Ok(result) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

fn kind(transceiver: &RtcRtpTransceiver) -> String {
    let track: MediaStreamTrack = transceiver.receiver().track();
    track.kind()
}

fn description(kind: &str, sdp: &str) -> JsValue {
    dict(&[("type", kind.into()), ("sdp", sdp.into())])
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a media line")]
fn candidate(found: &JsValue, text: String) -> Candidate {
    Candidate {
        mid: get_string(found, "sdpMid"),
        line: get(found, "sdpMLineIndex").as_f64().unwrap_or(0.0) as u16,
        text,
        ufrag: get(found, "usernameFragment").as_string(),
    }
}

/// Puts a certificate into `list` that lasts for a year. Where another device answers than the one whose early answer took the peer
/// connection, the offer for that device comes from another peer connection with the same certificate: this is an ICE restart, which every
/// browser takes. Firefox takes no other fingerprint in a new offer, against RFC 8842, 5.5.
pub fn make_certificate(list: &Array) {
    let kind = dict(&[("name", "ECDSA".into()), ("namedCurve", "P-256".into()), ("expires", 31_536_000_000_f64.into())]);
    let making = call(&global_value("RTCPeerConnection"), "generateCertificate", &Array::of1(&kind));
    let keep = call(&get(list, "push"), "bind", &Array::of1(list));
    if let (Ok(making), Ok(keep)) = (making, keep) {
        let _ = call(&making, "then", &Array::of2(&keep, &nothing()));
    }
}

fn configuration(ice: &Ice) -> JsValue {
    let servers = Array::new();
    for server in &ice.servers {
        let urls: Array = server.urls.iter().map(|url| JsValue::from_str(url)).collect();
        let mut entries = vec![("urls", urls.into())];
        if !server.username.is_empty() {
            entries.push(("username", server.username.as_str().into()));
            entries.push(("credential", server.credential.as_str().into()));
        }
        servers.push(&dict(&entries));
    }
    let policy = if ice.relay_only { "relay" } else { "all" };
    dict(&[("iceServers", servers.into()), ("iceTransportPolicy", policy.into())])
}
