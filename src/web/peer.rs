//! One `RTCPeerConnection`: its events as inputs, and the steps of offer and answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gloo_events::EventListener;
use gloo_timers::callback::Timeout;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Object};
use offhook_sip::sdp::{self, Candidate};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Event, EventTarget, RtcConfiguration, RtcIceConnectionState, RtcIceServer, RtcIceTransportPolicy, RtcOfferOptions,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcRtpTransceiver, RtcRtpTransceiverDirection, RtcRtpTransceiverInit, RtcSdpType,
    RtcSessionDescriptionInit, RtcStatsReport, RtcTrackEvent,
};

use super::Media;
use super::bindings::{Connection, DtlsTransport, IceCandidate, IceCandidateInit, KeyAlgorithm, Received, Sender, ToneSender};
use super::dom::{End, aborted, forget, items, promise};
use super::media::tracks;
use crate::client::{Ice, IceState, Input, PeerId, TaskKind, TaskResult};

/// A peer connection of a call.
pub struct Peer {
    pub id: PeerId,
    pub media: Rc<Media>,
    connection: RtcPeerConnection,
    tell: Box<dyn Fn(Input)>,
    listeners: RefCell<Vec<EventListener>>,
    /// Listeners of the DTLS transports, once there are some.
    transports: RefCell<Vec<EventListener>>,
    /// Remote candidates that came before the description that they belong to; `None` is their end.
    held: RefCell<Vec<Option<IceCandidateInit>>>,
    /// Resolves the promise that waits for the first local candidate.
    waiting: RefCell<Option<Function>>,
    closed: Cell<bool>,
    end: End,
}

/// How many candidates are held for a description that may never come.
const MOST_HELD: usize = 100;
/// How often the statistics are read while listening for media.
const LOOK: u32 = 100;

impl Peer {
    /// Returns a new connection with one of `certificates`, or one of its own where there is none. Its inputs go to `tell`.
    ///
    /// # Errors
    /// The browser's error for the ICE servers, or where it has no WebRTC.
    pub fn new(
        id: PeerId,
        media: Rc<Media>,
        ice: &Ice,
        certificates: &Array,
        tell: Box<dyn Fn(Input)>,
    ) -> Result<Rc<Self>, JsValue> {
        let configuration = configuration(ice);
        configuration.set_certificates(certificates);
        let peer = Rc::new(Self {
            id,
            media,
            connection: RtcPeerConnection::new_with_configuration(&configuration)?,
            tell,
            listeners: RefCell::default(),
            transports: RefCell::default(),
            held: RefCell::default(),
            waiting: RefCell::default(),
            closed: Cell::new(false),
            end: End::ahead(),
        });
        peer.listeners.replace(vec![
            peer.on(&peer.connection, "icecandidate", |peer, event| peer.found(event.unchecked_ref())),
            peer.on(&peer.connection, "iceconnectionstatechange", |peer, _| peer.changed()),
            peer.on(&peer.connection, "track", |peer, event| peer.received(event.unchecked_ref())),
        ]);
        Ok(peer)
    }

    fn on(self: &Rc<Self>, target: &EventTarget, event: &'static str, handler: fn(&Rc<Self>, &Event)) -> EventListener {
        let peer = Rc::downgrade(self);
        EventListener::new(target, event, move |event| {
            if let Some(peer) = peer.upgrade() {
                handler(&peer, event);
            }
        })
    }

    fn found(&self, event: &RtcPeerConnectionIceEvent) {
        let peer = self.id;
        let found = event.candidate();
        // An empty candidate ends one generation, none at all ends the gathering.
        if found.as_ref().is_some_and(|found| found.candidate().is_empty()) {
            return;
        }
        if let Some(waiting) = &*self.waiting.borrow() {
            let _ = waiting.call0(&JsValue::UNDEFINED);
        }
        (self.tell)(match found {
            Some(found) => Input::Candidate { peer, candidate: candidate(found.unchecked_ref()) },
            None => Input::Gathered { peer },
        });
    }

    fn received(&self, event: &RtcTrackEvent) {
        self.media.receive(&event.track());
        (self.tell)(Input::RemoteTrack { peer: self.id });
    }

    fn changed(self: &Rc<Self>) {
        // By now there is a DTLS transport.
        let transports = self.transceivers().filter_map(|transceiver| sender(&transceiver).transport());
        let listeners = transports.map(|transport| self.on(&transport, "statechange", |peer, event| peer.transport_changed(event)));
        self.transports.replace(listeners.collect());
        let state = match self.connection.ice_connection_state() {
            RtcIceConnectionState::Checking => IceState::Checking,
            RtcIceConnectionState::Connected => IceState::Connected,
            RtcIceConnectionState::Completed => IceState::Completed,
            RtcIceConnectionState::Disconnected => IceState::Disconnected,
            RtcIceConnectionState::Failed => IceState::Failed,
            RtcIceConnectionState::Closed => IceState::Closed,
            _ => IceState::New,
        };
        (self.tell)(Input::IceState { peer: self.id, state });
    }

    fn transport_changed(&self, event: &Event) {
        let transport = event.target().map(JsCast::unchecked_into::<DtlsTransport>);
        if transport.is_some_and(|transport| transport.state() == "closed") {
            (self.tell)(Input::PeerClosed { peer: self.id });
        }
    }

    /// Runs a task of offer and answer. A description comes with the candidates that are found until `wait` has passed.
    ///
    /// # Errors
    /// The browser's error, or that the connection was closed meanwhile.
    pub async fn negotiate(self: &Rc<Self>, kind: &TaskKind) -> Result<TaskResult, JsValue> {
        let connection = &self.connection;
        let step = match kind {
            TaskKind::Offer { ice, video, restart, .. } => {
                self.prepare(ice, *video)?;
                let options = RtcOfferOptions::new();
                options.set_ice_restart(*restart);
                connection.create_offer_with_rtc_offer_options(&options)
            }
            TaskKind::Answer { offer, .. } => connection.set_remote_description(&description(RtcSdpType::Offer, offer)),
            TaskKind::Accept { answer, .. } => connection.set_remote_description(&description(RtcSdpType::Answer, answer)),
            _ => connection.set_local_description(&RtcSessionDescriptionInit::new(RtcSdpType::Rollback)),
        };
        let made = self.end.or(&step).await?;
        for candidate in self.held.take() {
            self.add_candidate(candidate);
        }
        let (wait, local) = match kind {
            TaskKind::Offer { wait, .. } => (*wait, made),
            TaskKind::Answer { video, wait, .. } => {
                self.join(*video);
                (*wait, self.end.or(&connection.create_answer()).await?)
            }
            _ => return self.unless_closed(TaskResult::Done),
        };
        self.end.or(&connection.set_local_description(local.unchecked_ref())).await?;
        // The remote party may take no candidates later, so this waits for a first one.
        if wait > Duration::ZERO && !sdp::has_candidates(&self.local_sdp()) {
            let (first, resolve, _) = promise();
            let late = resolve.clone();
            #[expect(clippy::cast_possible_truncation, reason = "checked to be a small number")]
            let _timeout = Timeout::new(wait.as_millis() as u32, move || drop(late.call0(&JsValue::UNDEFINED)));
            self.waiting.replace(Some(resolve));
            self.end.or(&first).await?;
        }
        self.unless_closed(TaskResult::Description(self.local_sdp()))
    }

    fn unless_closed(&self, result: TaskResult) -> Result<TaskResult, JsValue> {
        if self.closed.get() { Err(aborted()) } else { Ok(result) }
    }

    /// Adds the transceivers of an offer: audio, perhaps video, both ways.
    fn prepare(&self, ice: &Ice, video: bool) -> Result<(), JsValue> {
        if self.transceivers().next().is_none() {
            self.add("audio")?;
            if video {
                self.add("video")?;
            }
        } else {
            // Credentials for TURN expire: an ICE restart needs those of now.
            let _ = self.connection.set_configuration_with_configuration(&configuration(ice));
        }
        self.attach();
        Ok(())
    }

    /// Has the transceivers of an offer send and receive.
    fn join(&self, video: bool) {
        for transceiver in self.transceivers() {
            if video || kind(&transceiver) == "audio" {
                transceiver.set_direction(RtcRtpTransceiverDirection::Sendrecv);
                // So that the remote party gets a stream with the track; browsers without this function leave it out.
                let _ = sender(&transceiver).set_streams(&self.media.local);
            }
        }
        self.attach();
    }

    /// Sends the tracks of the call, once it is answered. Nothing waits for the end of that: no description depends on the tracks.
    pub fn attach(&self) {
        if !self.media.is_sending() {
            return;
        }
        for track in tracks(&self.media.local) {
            if let Some(sender) = self.sender(&track.kind())
                && sender.track().as_ref() != Some(&track)
            {
                forget(sender.replace_track(Some(&track)));
            }
        }
    }

    /// Adds remote candidates; `end`: there are no more.
    pub fn add_candidates(self: &Rc<Self>, candidates: &[Candidate], end: bool) {
        for Candidate { mid, line, text, ufrag } in candidates {
            let init: IceCandidateInit = Object::new().unchecked_into();
            init.set_candidate(text);
            init.set_sdp_mid((!mid.is_empty()).then_some(mid));
            init.set_sdp_m_line_index(Some(*line));
            init.set_username_fragment(ufrag.as_deref());
            self.add_candidate(Some(init));
        }
        if end {
            self.add_candidate(None);
        }
    }

    /// Adds a candidate. One with the credentials of a later description fails now, and is tried again with that description.
    fn add_candidate(self: &Rc<Self>, candidate: Option<IceCandidateInit>) {
        if self.connection.remote_description().is_none() {
            return self.hold(candidate);
        }
        let added = self.connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(candidate.as_deref());
        let peer = self.clone();
        spawn_local(async move {
            if peer.end.or(&added).await.is_err() && !peer.closed.get() {
                peer.hold(candidate);
            }
        });
    }

    fn hold(&self, candidate: Option<IceCandidateInit>) {
        let mut held = self.held.borrow_mut();
        if held.len() < MOST_HELD {
            held.push(candidate);
        }
    }

    /// Waits until media arrives, in two readings one after the other: packets that were under way when a path broke still arrive.
    ///
    /// # Errors
    /// Where none arrives for `wait`; and as [`Peer::negotiate`].
    pub async fn hear(&self, wait: Duration) -> Result<TaskResult, JsValue> {
        let (mut before, mut news) = (-1.0, 0);
        for _ in 0..wait.as_millis() / u128::from(LOOK) {
            TimeoutFuture::new(LOOK).await;
            self.unless_closed(TaskResult::Done)?;
            let arrived = arrived(JsFuture::from(self.connection.get_stats()).await?.unchecked_ref());
            news += u8::from(arrived > before);
            before = arrived;
            if news == 3 {
                return Ok(TaskResult::Done);
            }
        }
        Err(aborted())
    }

    /// Sends DTMF digits by RTP, after those that are still being sent.
    pub fn send_dtmf(&self, digits: &str) {
        if let Some(dtmf) = self.sender("audio").and_then(|sender| sender.dtmf()) {
            // Fails only once the connection is closed.
            let _ = dtmf.unchecked_ref::<ToneSender>().insert_dtmf(&(dtmf.tone_buffer() + digits));
        }
    }

    /// Closes it; tasks under way fail with `AbortError`.
    pub fn close(&self) {
        if !self.closed.replace(true) {
            self.listeners.take();
            self.transports.take();
            self.connection.close();
            self.end.reach();
        }
    }

    fn add(&self, kind: &str) -> Result<(), JsValue> {
        let init = RtcRtpTransceiverInit::new();
        init.set_direction(RtcRtpTransceiverDirection::Sendrecv);
        init.set_streams(&Array::of1(&self.media.local));
        self.connection.unchecked_ref::<Connection>().add_transceiver(kind, &init).map(drop)
    }

    fn transceivers(&self) -> impl Iterator<Item = RtcRtpTransceiver> {
        let transceivers: Vec<_> = items(&self.connection.get_transceivers()).collect();
        transceivers.into_iter()
    }

    /// Returns the sender for tracks of that kind.
    fn sender(&self, wanted: &str) -> Option<Sender> {
        self.transceivers().find(|transceiver| kind(transceiver) == wanted).map(|transceiver| sender(&transceiver))
    }

    fn local_sdp(&self) -> String {
        self.connection.local_description().map(|description| description.sdp()).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

fn description(kind: RtcSdpType, sdp: &str) -> RtcSessionDescriptionInit {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    description
}

fn sender(transceiver: &RtcRtpTransceiver) -> Sender {
    transceiver.sender().unchecked_into()
}

/// `audio` or `video`.
fn kind(transceiver: &RtcRtpTransceiver) -> String {
    transceiver.receiver().track().kind()
}

fn candidate(found: &IceCandidate) -> Candidate {
    Candidate {
        mid: found.sdp_mid().unwrap_or_default(),
        line: found.sdp_m_line_index().unwrap_or_default(),
        text: found.candidate(),
        ufrag: found.username_fragment(),
    }
}

/// Returns the number of media octets received, summed over the layers that count them.
fn arrived(report: &RtcStatsReport) -> f64 {
    let entries = report.values().into_iter().flatten();
    entries.filter_map(|entry| entry.unchecked_into::<Received>().bytes_received()).sum()
}

/// Creates a certificate that is valid for a year. Where another device answers than the one whose early answer took the peer
/// connection, the offer for that device comes from another peer connection with the same certificate: this is an ICE restart, which every
/// browser accepts. Firefox accepts no other fingerprint in a new offer, against RFC 8842, 5.5.
pub async fn make_certificate() -> Result<JsValue, JsValue> {
    let kind: KeyAlgorithm = Object::new().unchecked_into();
    kind.set_name("ECDSA");
    kind.set_named_curve("P-256");
    kind.set_expires(31_536_000_000.0);
    RtcPeerConnection::generate_certificate_with_object(&kind)?.await
}

fn configuration(ice: &Ice) -> RtcConfiguration {
    let servers = ice.servers.iter().map(|server| {
        let entry = RtcIceServer::new();
        entry.set_urls(&server.urls.iter().map(|url| JsValue::from(url.as_str())).collect::<Array>());
        if !server.username.is_empty() {
            entry.set_username(&server.username);
            entry.set_credential(&server.credential);
        }
        entry
    });
    let configuration = RtcConfiguration::new();
    configuration.set_ice_servers(&servers.collect::<Array>());
    configuration.set_ice_transport_policy(if ice.relay_only { RtcIceTransportPolicy::Relay } else { RtcIceTransportPolicy::All });
    configuration
}
