//! The loop around the client. Its one invariant: *handle once, drain fully, set the timer, then deliver the events, with no borrow held while
//! a listener runs.*

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use gloo_events::EventListener;
use js_sys::Array;
use offhook_ua::time::Instant;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Event as DomEvent, MediaStream, PermissionState, PermissionStatus};

use super::ask::ask;
use super::bindings::PageTransition;
use super::dom::{aborted, now, seed, thrown};
use super::media::Media;
use super::microphone::{Microphone, ask_permission};
use super::page::{Later, Window, listen};
use super::peer::{Peer, make_certificate};
use super::socket::Socket;
use super::tasks;
use super::timer::Timer;
use crate::client::call::{CallId, CallInfo, Error};
use crate::client::{Client, Config, ConnectionState, Event, Input, Login, Output, PeerId, Task, TaskKind, redacted};

/// What the JavaScript API is told.
pub enum Notice {
    /// An event of the client.
    Event(Event),
    /// A call comes in; these are its streams.
    Incoming(Rc<CallInfo>, Rc<Media>),
    /// A message was sent (`true`) or received, where the page traces them.
    Message(bool, String),
}

impl Notice {
    /// Whether the app is told of it also after it has terminated the client.
    const fn outlives_session(&self) -> bool {
        matches!(
            self,
            Self::Message(..) | Self::Event(Event::Call { .. } | Event::Connection(ConnectionState::Closed) | Event::Log(_))
        )
    }
}

/// Moves values between one [`Client`] and the browser.
pub struct Driver {
    client: RefCell<Client>,
    /// Inputs that came while the client was being drained.
    inputs: RefCell<Vec<Input>>,
    busy: Cell<bool>,
    /// What the app is to be told, and in which session it happened.
    notices: RefCell<Vec<(u32, Notice)>>,
    /// How often the client was terminated.
    session: Cell<u32>,
    app: Box<dyn Fn(&Notice)>,
    socket: Socket,
    timer: Timer,
    later: Later,
    window: Window,
    peers: RefCell<Vec<Rc<Peer>>>,
    /// The certificate of first offers, once it is made.
    certificate: RefCell<Option<JsValue>>,
    /// Whether the page may open the microphone, and the camera where calls have video, once that is known; the browser keeps it up to date.
    permissions: RefCell<Vec<(PermissionStatus, Option<EventListener>)>>,
    calls: RefCell<Vec<Rc<Media>>>,
    /// The microphone that calls share.
    pub microphone: Rc<Microphone>,
    /// What incoming calls send instead of the microphone.
    custom: Option<MediaStream>,
    /// Whether calls have video.
    video: bool,
    traced: bool,
    this: Weak<Self>,
}

impl Driver {
    /// Returns a driver whose notices go to `app`. `custom` is what incoming calls send instead of the microphone; with `traced`, messages are
    /// notices, too.
    #[must_use]
    pub fn new(config: Config, custom: Option<MediaStream>, traced: bool, app: Box<dyn Fn(&Notice)>) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| Self {
            video: config.video,
            client: RefCell::new(Client::new(config, seed())),
            inputs: RefCell::default(),
            busy: Cell::new(false),
            notices: RefCell::default(),
            session: Cell::new(0),
            app,
            socket: Socket::new(tell(this).into()),
            timer: Timer::new(with(this, Self::timeout).into()),
            later: Later::new(with(this, Self::deliver)),
            window: Window::new(window_event(this)),
            peers: RefCell::default(),
            certificate: RefCell::default(),
            permissions: RefCell::default(),
            calls: RefCell::default(),
            microphone: Rc::default(),
            custom,
            traced,
            this: this.clone(),
        })
    }

    /// Gives the client an input, and delivers what follows.
    pub fn input(&self, input: Input) {
        self.inputs.borrow_mut().push(input);
        self.run();
        self.deliver();
    }

    /// Gives the client a command. What follows is delivered in a later task, never inside this call.
    pub fn command<R>(&self, command: impl FnOnce(&mut Client, Instant) -> R) -> R {
        let result = command(&mut self.client.borrow_mut(), now());
        self.after_command();
        result
    }

    /// Signs in.
    ///
    /// # Errors
    /// Where the client has signed in already.
    pub fn start(&self, login: Login) -> Result<(), Error> {
        self.window.listen();
        if self.certificate.borrow().is_none() {
            self.prepare();
        }
        self.command(|client, now| client.start(now, login))
    }

    /// Creates the certificate and asks for the permission, before a call needs them.
    fn prepare(&self) {
        let Some(driver) = self.this.upgrade() else { return };
        spawn_local(async move {
            driver.certificate.replace(make_certificate().await.ok());
            for device in if driver.video { &["microphone", "camera"][..] } else { &["microphone"] } {
                let Ok(status) = ask_permission(device).await else { return };
                let changes = listen(&status, "change", &window_event(&driver.this));
                driver.permissions.borrow_mut().push((status, changes));
            }
        });
    }

    /// Places a call, by [`Client::call`] or [`Client::call_in_vain`]. It sends `custom` or the microphone.
    pub fn call(
        &self,
        custom: Option<&MediaStream>,
        place: impl FnOnce(&mut Client, Instant) -> CallInfo,
    ) -> (Rc<CallInfo>, Rc<Media>) {
        let info = Rc::new(place(&mut self.client.borrow_mut(), now()));
        let media = self.media(info.id, custom);
        self.after_command();
        (info, media)
    }

    /// Answers a call.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub fn answer(&self, id: CallId) -> Result<(), Error> {
        let known = self.permissions.borrow();
        let granted = !known.is_empty() && known.iter().all(|(status, _)| status.state() == PermissionState::Granted);
        drop(known);
        self.command(|client, now| client.answer(now, id, granted))
    }

    /// Has all calls without a stream of their own send a stream of the app, also those under way. Calls whose microphone is still being opened take
    /// it then. What follows is delivered in a later task.
    pub fn adopt(&self, stream: &MediaStream) {
        self.microphone.adopt(stream);
        let calls = self.calls.borrow().clone();
        for media in calls.iter().filter(|media| media.custom.is_none() && media.is_open()) {
            let [audio, video] = media.take(stream, None, true);
            self.attach(media);
            if audio || video {
                self.inputs.borrow_mut().push(Input::LocalStreamReplaced { call: media.id, audio, video });
            }
        }
        self.after_command();
    }

    /// Reads from the client.
    pub fn read<R>(&self, read: impl FnOnce(&Client) -> R) -> R {
        read(&self.client.borrow())
    }

    /// Returns a call as it is now. Of one that is over, only the notices that are not delivered yet may know it.
    pub fn call_info(&self, id: CallId) -> Option<Rc<CallInfo>> {
        let mut told = None;
        for (_, notice) in self.notices.borrow().iter() {
            if let Notice::Event(Event::Call { info, .. }) = notice
                && info.id == id
            {
                told = Some(info.clone());
            }
        }
        told.or_else(|| self.client.borrow().call_info(id).cloned().map(Rc::new))
    }

    /// Ends calls and signs out. Of what happened before and was not delivered yet, the app is told only how calls end.
    pub fn terminate(&self) {
        self.session.set(self.session.get() + 1);
        self.command(|client, now| client.terminate(now));
        self.microphone.disown();
        self.microphone.hold(false);
        self.window.forget();
    }

    /// Releases what it holds of the browser after a panic, wherever that was: what is borrowed then stays so.
    pub fn abandon(&self) {
        self.window.forget();
        self.timer.disarm();
        self.socket.disconnect();
        if let Ok(peers) = self.peers.try_borrow() {
            peers.iter().for_each(|peer| peer.close());
        }
        if let Ok(calls) = self.calls.try_borrow() {
            calls.iter().for_each(|media| media.release());
        }
        self.microphone.hold(false);
        self.microphone.close();
    }

    fn after_command(&self) {
        self.run();
        if !self.notices.borrow().is_empty() {
            self.later.ask();
        }
    }

    /// Gives the client the inputs, one after the other, and drains it after each.
    fn run(&self) {
        if self.busy.replace(true) {
            return;
        }
        self.drain();
        while let Some(input) = self.next() {
            if let Input::Received(text) = &input {
                self.trace(false, text);
            }
            self.client.borrow_mut().handle(now(), input);
            self.drain();
        }
        let deadline = self.client.borrow().deadline();
        self.timer.arm(now(), deadline);
        self.busy.set(false);
    }

    fn next(&self) -> Option<Input> {
        let mut inputs = self.inputs.borrow_mut();
        if inputs.is_empty() { None } else { Some(inputs.remove(0)) }
    }

    fn drain(&self) {
        loop {
            let Some(output) = self.client.borrow_mut().poll() else { return };
            self.perform(output);
        }
    }

    fn deliver(&self) {
        for (session, notice) in &self.notices.take() {
            // A listener may have terminated the client meanwhile.
            if *session == self.session.get() || notice.outlives_session() {
                (self.app)(notice);
            }
        }
    }

    fn timeout(&self) {
        self.timer.fired();
        self.input(Input::Timeout);
    }

    fn perform(&self, output: Output) {
        match output {
            Output::Connect { url } => self.connect(&url),
            Output::Ask { url } => self.ask(url),
            Output::Disconnect => self.socket.disconnect(),
            Output::Send(text) => {
                self.trace(true, &text);
                self.socket.send(&text);
            }
            Output::Task(task) => self.begin(task),
            Output::Candidates { peer, candidates, end } => {
                if let Some(peer) = self.peer(peer) {
                    peer.add_candidates(&candidates, end);
                }
            }
            Output::Sending { call, on } => {
                if let Some(media) = self.known_media(call) {
                    media.send(on);
                    self.attach(&media);
                }
            }
            Output::Dtmf { peer, digits } => {
                if let Some(peer) = self.peer(peer) {
                    peer.send_dtmf(&digits);
                }
            }
            Output::Close { peer } => self.close(peer),
            Output::Release { call } => self.release(call),
            Output::Event(event) => self.note(event),
        }
    }

    fn note(&self, event: Event) {
        let notice = match event {
            Event::Incoming(info) => {
                let media = self.media(info.id, self.custom.as_ref());
                Notice::Incoming(info, media)
            }
            event => Notice::Event(event),
        };
        self.tell(notice);
    }

    fn trace(&self, out: bool, text: &str) {
        if self.traced {
            self.tell(Notice::Message(out, redacted(text)));
        }
    }

    fn tell(&self, notice: Notice) {
        self.notices.borrow_mut().push((self.session.get(), notice));
    }

    fn connect(&self, url: &str) {
        if let Err(error) = self.socket.connect(url) {
            self.inputs.borrow_mut().push(Input::Closed { code: 1006, reason: thrown(&error).message });
        }
    }

    fn ask(&self, url: String) {
        let this = self.this.clone();
        spawn_local(async move {
            let finding = ask(&url).await;
            if let Some(driver) = this.upgrade() {
                driver.input(Input::Asked { url, finding });
            }
        });
    }

    /// Starts a task. The peer is created here and not in the task, as candidates for it may be the next output.
    fn begin(&self, Task { id, call, kind }: Task) {
        let Some(driver) = self.this.upgrade() else { return };
        let again = matches!(kind, TaskKind::Reopen { .. });
        let begun = match kind {
            TaskKind::Microphone { video } | TaskKind::Reopen { video } => {
                let media = self.known_media(call).ok_or_else(aborted);
                media.map(|media| tasks::start_microphone(driver, media, id, video, again))
            }
            kind => self.peer_of(call, &kind).map(|peer| tasks::start(driver, peer, id, kind)),
        };
        if let Err(error) = begun {
            self.inputs.borrow_mut().push(Input::Answered { task: id, result: tasks::failed(&error) });
        }
    }

    fn peer_of(&self, call: CallId, kind: &TaskKind) -> Result<Rc<Peer>, JsValue> {
        let certificate = self.certificate.borrow().clone().filter(|_| matches!(kind, TaskKind::Offer { restart: false, .. }));
        let (id, ice) = match kind {
            TaskKind::Offer { peer, ice, .. } | TaskKind::Answer { peer, ice, .. } => (*peer, Some(ice)),
            TaskKind::Accept { peer, .. } | TaskKind::Rollback { peer } | TaskKind::Listen { peer, .. } => (*peer, None),
            TaskKind::Microphone { .. } | TaskKind::Reopen { .. } => return Err(aborted()),
        };
        if let Some(peer) = self.peer(id) {
            return Ok(peer);
        }
        let ice = ice.ok_or_else(aborted)?;
        let media = self.media(call, self.custom.as_ref());
        let peer = Peer::new(id, media, ice, &certificate.into_iter().collect::<Array>(), tell(&self.this))?;
        self.peers.borrow_mut().push(peer.clone());
        Ok(peer)
    }

    fn peer(&self, id: PeerId) -> Option<Rc<Peer>> {
        self.peers.borrow().iter().find(|peer| peer.id == id).cloned()
    }

    /// Returns the peer connections of the call with these streams.
    fn peers_of(&self, media: &Rc<Media>) -> Vec<Rc<Peer>> {
        let mut peers = Vec::new();
        for peer in self.peers.borrow().iter() {
            if Rc::ptr_eq(&peer.media, media) {
                peers.push(peer.clone());
            }
        }
        peers
    }

    /// Has all peer connections of a call send its stream.
    pub(super) fn attach(&self, media: &Rc<Media>) {
        for peer in &self.peers_of(media) {
            peer.attach();
        }
    }

    fn known_media(&self, id: CallId) -> Option<Rc<Media>> {
        self.calls.borrow().iter().find(|media| media.id == id).cloned()
    }

    /// Returns the streams of a call, created where it has none yet.
    fn media(&self, id: CallId, custom: Option<&MediaStream>) -> Rc<Media> {
        self.known_media(id).unwrap_or_else(|| {
            self.microphone.join();
            let media = Rc::new(Media::new(id, custom.cloned(), tell(&self.this).into()));
            self.calls.borrow_mut().push(media.clone());
            media
        })
    }

    fn release(&self, call: CallId) {
        let position = self.calls.borrow().iter().position(|media| media.id == call);
        let Some(position) = position else { return };
        let media = self.calls.borrow_mut().swap_remove(position);
        for peer in &self.peers_of(&media) {
            self.close(peer.id);
        }
        media.release();
        self.microphone.leave();
    }

    fn close(&self, id: PeerId) {
        let position = self.peers.borrow().iter().position(|peer| peer.id == id);
        let Some(position) = position else { return };
        let peer = self.peers.borrow_mut().swap_remove(position);
        peer.close();
    }

    /// Hangs up when the page goes away. After any other event the network may have changed, or devices, or the permission to use them.
    fn window_event(&self, event: &DomEvent) {
        match event.type_().as_str() {
            "pagehide" => {}
            "devicechange" | "change" => return self.input(Input::DevicesChanged),
            _ => return self.input(Input::Online),
        }
        let cached = event.unchecked_ref::<PageTransition>().persisted() == Some(true);
        self.command(|client, now| client.leave(now, cached));
    }
}

/// Returns a function that gives the driver an input, as long as there is one.
fn tell(driver: &Weak<Driver>) -> Box<dyn Fn(Input)> {
    let driver = driver.clone();
    Box::new(move |input| {
        if let Some(driver) = driver.upgrade() {
            driver.input(input);
        }
    })
}

/// Returns a function that calls `method`, as long as there is a driver.
fn with(driver: &Weak<Driver>, method: fn(&Driver)) -> Box<dyn Fn()> {
    let driver = driver.clone();
    Box::new(move || {
        if let Some(driver) = driver.upgrade() {
            method(&driver);
        }
    })
}

fn window_event(driver: &Weak<Driver>) -> Rc<dyn Fn(&DomEvent)> {
    let driver = driver.clone();
    Rc::new(move |event| {
        if let Some(driver) = driver.upgrade() {
            driver.window_event(event);
        }
    })
}
