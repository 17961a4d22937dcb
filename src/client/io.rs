//! The inputs and outputs of the client, its configuration, and the events for the app.

use std::rc::Rc;
use std::time::Duration;

use offhook_sip::sdp::Candidate;

use crate::client::call::{CallId, CallInfo, Error};

/// The configuration of a client.
#[derive(Clone, Debug)]
pub struct Config {
    /// WebSocket URLs of the servers, the preferred one first.
    pub servers: Vec<String>,
    /// The SIP domain.
    pub domain: String,
    /// A server that nobody has named: it is used in place of `servers` if it answers as a gateway.
    pub unnamed: Option<Unnamed>,
    /// What errors say of the page.
    pub page: Page,
    /// The value of User-Agent.
    pub user_agent: String,
    /// The UUID of this device (RFC 5626, 4.1).
    pub instance: String,
    /// STUN and TURN servers; where there are none, those that the server names.
    pub ice_servers: Rc<Vec<IceServer>>,
    /// Whether only relayed candidates may be used.
    pub relay_only: bool,
    /// How long a caller waits for the first provisional response of a callee.
    pub progress_timeout: Duration,
    /// How long a caller lets it ring; a callee rings a little longer.
    pub answer_timeout: Duration,
    /// Whether several calls may go on at once.
    pub multi_call: bool,
    /// Whether calls between users have video.
    pub video: bool,
    /// Whether calls can be received at all.
    pub active: bool,
    /// Whether `start` begins to receive calls.
    pub activate: bool,
    /// Whether ICE and DTLS come up during ringing.
    pub connect_while_ringing: bool,
    /// How long an offer waits for its first candidate.
    pub candidate_wait: Duration,
    /// The session interval that calls ask for (RFC 4028), s; 0 turns session timers off.
    pub session_expires: u32,
    /// How long a registration lasts, s.
    pub register_expires: u32,
    /// How long before its expiry the app is told of a ticket or token; at most a tenth of the time for which it is valid.
    pub token_refresh: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            domain: String::new(),
            unnamed: None,
            page: Page::default(),
            user_agent: concat!("Offhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            instance: String::new(),
            ice_servers: Rc::default(),
            relay_only: false,
            progress_timeout: Duration::from_millis(10_500),
            answer_timeout: Duration::from_secs(45),
            multi_call: false,
            video: false,
            active: false,
            activate: false,
            connect_while_ringing: true,
            candidate_wait: Duration::from_millis(20),
            session_expires: 1_800,
            register_expires: 600,
            token_refresh: Duration::from_secs(30),
        }
    }
}

/// A server that nobody has named: where the script came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// Its WebSocket URL.
    pub url: String,
    /// Its SIP domain.
    pub domain: String,
}

/// What errors say of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The application that it uses.
    pub application: String,
    /// Its origin.
    pub origin: String,
    /// Whether browsers give it the microphone.
    pub secure: bool,
    /// Where the addresses of servers come from that nobody has named: a sentence, or nothing.
    pub places: String,
}

/// What a server says that is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is a gateway, and would let this page open its WebSocket.
    Gateway,
    /// It is a gateway, and would not.
    Refused {
        /// Why, in the gateway's own words for machines.
        reason: String,
        /// Why, for people.
        said: String,
        /// When to try again, s.
        wait: Option<u32>,
    },
    /// It is something else; its status, where the browser shows it.
    Foreign(Option<u16>),
    /// Nothing answers.
    Silent,
    /// It did not answer in time.
    Late,
    /// The page came over https and may not reach a server without TLS.
    Insecure,
}

/// A STUN or TURN server (WebRTC 1.0, RTCIceServer).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// The user name for TURN, else empty.
    pub username: String,
    /// The password for TURN, else empty.
    pub credential: String,
}

/// How a user signs in.
#[derive(Clone)]
pub enum Login {
    /// With a ticket or JWT that names the user.
    Token {
        /// The user it names.
        user: String,
        /// The ticket or JWT.
        token: String,
        /// For how long from now on it is valid, where that can be read.
        lasts: Option<Duration>,
    },
    /// With name and password.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// With the session of an earlier client.
    Session(Session),
}

/// What a later client can sign in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The user.
    pub user_id: String,
    /// The kind of secret: `bearer`, or `digest:ALGORITHM:REALM`.
    pub session_id: String,
    /// The ticket, the JWT, or the hash of the password in that realm.
    pub session_secret: String,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Session([redacted])")
    }
}

/// The id of an `RTCPeerConnection`. A call has one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// The id of a media task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskId(pub u32);

/// What the driver tells the client.
#[derive(Clone, Debug)]
pub enum Input {
    /// The WebSocket is open.
    Opened,
    /// A text frame was received.
    Received(String),
    /// The WebSocket is closed, or could not be opened.
    Closed {
        /// The close code (RFC 6455, 7.4).
        code: u16,
        /// The reason in the close frame.
        reason: String,
    },
    /// The deadline passed.
    Timeout,
    /// A media task is done.
    Answered {
        /// Which one.
        task: TaskId,
        /// Its result.
        result: TaskResult,
    },
    /// A local candidate was found.
    Candidate {
        /// Whose.
        peer: PeerId,
        /// The candidate.
        candidate: Candidate,
    },
    /// All local candidates were found.
    Gathered {
        /// Whose.
        peer: PeerId,
    },
    /// `iceConnectionState` changed.
    IceState {
        /// Whose.
        peer: PeerId,
        /// To what.
        state: IceState,
    },
    /// The remote stream is there.
    RemoteTrack {
        /// Whose.
        peer: PeerId,
    },
    /// A track that a call sends has ended, though nobody stopped it: its device is gone, or the permission to use it.
    LocalTrackEnded {
        /// Of which call.
        call: CallId,
        /// Its video, not its audio.
        video: bool,
    },
    /// The app has replaced what a call sends.
    LocalStreamReplaced {
        /// Of which call.
        call: CallId,
        /// Its audio.
        audio: bool,
        /// Its video.
        video: bool,
    },
    /// Devices have come or gone, or the permission to use them has.
    DevicesChanged,
    /// The remote party has ended the DTLS association: it hangs up, its page was closed, or it goes on with another peer connection.
    PeerClosed {
        /// Whose.
        peer: PeerId,
    },
    /// A server was asked.
    Asked {
        /// The URL of [`Output::Ask`].
        url: String,
        /// What it says.
        finding: Finding,
    },
    /// The network may have changed or come back, or the page woke up: the connection is to be checked at once.
    Online,
}

/// The result of a media task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskResult {
    /// The local description with the candidates found so far.
    Description(String),
    /// Done.
    Done,
    /// It failed.
    Failed(MediaError),
}

/// A `DOMException` of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaError {
    /// Its name, such as `NotAllowedError`.
    pub name: String,
    /// Its message.
    pub message: String,
}

/// `RTCIceConnectionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceState {
    /// Nothing tried yet.
    New,
    /// Trying.
    Checking,
    /// A path works.
    Connected,
    /// The best path works.
    Completed,
    /// The path may be gone.
    Disconnected,
    /// There is no path.
    Failed,
    /// Closed.
    Closed,
}

impl IceState {
    const ALL: [(Self, &'static str); 7] = [
        (Self::New, "new"),
        (Self::Checking, "checking"),
        (Self::Connected, "connected"),
        (Self::Completed, "completed"),
        (Self::Disconnected, "disconnected"),
        (Self::Failed, "failed"),
        (Self::Closed, "closed"),
    ];

    /// The browser's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("new", |(_, word)| word)
    }

    /// The state of the browser's word; `New` for a word unknown here.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it never fails")]
    pub fn from_str(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::New, |(state, _)| *state)
    }
}

/// What the driver has to do for the client.
#[derive(Clone, Debug)]
pub enum Output {
    /// Open a WebSocket with the sub-protocol `sip`; close any other first.
    Connect {
        /// Where to.
        url: String,
    },
    /// Ask a server over HTTP what it is, without credentials, and answer with [`Input::Asked`].
    Ask {
        /// The URL of its WebSocket.
        url: String,
    },
    /// Close the WebSocket.
    Disconnect,
    /// Send a text frame.
    Send(String),
    /// Do this and answer with [`Input::Answered`].
    Task(Task),
    /// Give the peer remote candidates; hold them until it has its remote description.
    Candidates {
        /// To whom.
        peer: PeerId,
        /// The candidates.
        candidates: Vec<Candidate>,
        /// Whether these are all.
        end: bool,
    },
    /// Enable or disable what the call sends.
    Sending {
        /// Which call.
        call: CallId,
        /// Enable.
        on: bool,
    },
    /// Send DTMF digits by RTP (RFC 4733).
    Dtmf {
        /// From whom.
        peer: PeerId,
        /// `0-9 # * A-D`.
        digits: String,
    },
    /// Close a peer connection.
    Close {
        /// Which one.
        peer: PeerId,
    },
    /// The call is over: close its peers, stop its tracks.
    Release {
        /// Which call.
        call: CallId,
    },
    /// Tell the app, once everything else is done.
    Event(Event),
}

/// A media task, which takes the browser time; it is answered exactly once, also when it was dropped meanwhile.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id, which the answer names.
    pub id: TaskId,
    /// For which call.
    pub call: CallId,
    /// What to do.
    pub kind: TaskKind,
}

/// The kinds of media tasks.
#[derive(Clone, Debug)]
pub enum TaskKind {
    /// Make an offer; a peer not known yet is made first. Answered by `Description` once there is a candidate, all were found, or
    /// `wait` has passed.
    Offer {
        /// From whom.
        peer: PeerId,
        /// How to find candidates.
        ice: Ice,
        /// With video.
        video: bool,
        /// With new ICE credentials, and a connection not known yet with a certificate that no other has.
        restart: bool,
        /// See above.
        wait: Duration,
    },
    /// Make an answer, sending and receiving; a peer not known yet is made first. Answered like `Offer`.
    Answer {
        /// From whom.
        peer: PeerId,
        /// How to find candidates.
        ice: Ice,
        /// The remote offer.
        offer: String,
        /// With video.
        video: bool,
        /// See above.
        wait: Duration,
    },
    /// Take the remote answer.
    Accept {
        /// For whom.
        peer: PeerId,
        /// The answer.
        answer: String,
    },
    /// Take back an offer that was rejected.
    Rollback {
        /// For whom.
        peer: PeerId,
    },
    /// Have the peers of the call send its own stream, silent until [`Output::Sending`]; open the microphone if the call has no stream yet.
    Microphone {
        /// With video.
        video: bool,
    },
    /// Open the device of a track that has ended anew, or the default one, and send that track in its place.
    Reopen {
        /// Video, not audio.
        video: bool,
    },
    /// Listen whether media arrives. Answered by `Done` as soon as some does, by `Failed` where none does for `wait`.
    Listen {
        /// At whom.
        peer: PeerId,
        /// See above.
        wait: Duration,
    },
}

/// How a peer finds candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ice {
    /// STUN and TURN servers.
    pub servers: Rc<Vec<IceServer>>,
    /// Whether only relayed candidates may be used.
    pub relay_only: bool,
}

/// What the app is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// `start` worked.
    Started(Session),
    /// `start` failed.
    StartFailed(Error),
    /// Calls can be received, or cannot.
    Active(Result<(), Error>),
    /// Calls are no longer received, as asked.
    Inactive,
    /// The ticket or token expires in so many seconds.
    TokenWillExpire(u32),
    /// The server no longer accepts the ticket, token or password. Told once, until it accepts another.
    TokenExpired(Error),
    /// The server has accepted another token or password, or has rejected it, and the one before is used again.
    TokenUpdated(Result<(), Error>),
    /// The connection to the server changed.
    Connection(Connection),
    /// A call comes in.
    Incoming(Rc<CallInfo>),
    /// A call changed.
    Call {
        /// In which way.
        change: Change,
        /// The call as it is now.
        info: Rc<CallInfo>,
    },
    /// A line for the log; never a secret.
    Log(String),
}

/// The connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Being opened for the first time.
    Connecting,
    /// Open and signed in.
    Connected,
    /// Lost; being opened again.
    Reconnecting,
    /// Closed for good.
    Closed,
}

/// In which way a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It rings at the remote party.
    Progressing,
    /// It was answered.
    Established,
    /// It is over.
    Ended,
    /// Its own stream is there, or has other tracks now.
    LocalStream,
    /// A track of its own stream has ended, though nobody stopped it.
    LocalTrackEnded {
        /// Its video, not its audio.
        video: bool,
    },
    /// The remote stream is there.
    RemoteTrack,
    /// The state of its media path changed.
    ConnectionChange(IceState),
    /// Its media is interrupted, and is being restored.
    Reconnecting,
    /// Its media is restored.
    Reconnected,
    /// The credit for it lasts for so many seconds more; then it ends.
    CreditLow(u32),
}
