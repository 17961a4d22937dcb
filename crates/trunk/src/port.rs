//! Inputs and outputs of the trunks: values only.

use std::net::SocketAddr;

use offhook_sip::{OwnedMessage, StatusCode};

use offhook_ua::transaction::{ClientKey, ServerKey};

/// The name of a trunk in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrunkId(pub String);

/// The transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS, with the certificate's name checked.
    Tls,
}

/// One stream connection; never used twice. Even ones are made by us, odd ones by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Where a message comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// A datagram of our UDP port.
    Udp(SocketAddr),
    /// A connection.
    Connection(ConnectionId),
}

impl std::fmt::Display for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(address) => address.fmt(f),
            Self::Connection(connection) => write!(f, "connection {}", connection.0),
        }
    }
}

/// One question to the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResolveId(pub u64);

/// What happens to the trunks.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram, or a whole message from a connection (framed by Content-Length).
    Received {
        /// Where from.
        flow: Flow,
        /// What.
        bytes: Vec<u8>,
    },
    /// A connection that [`Output::Connect`] asked for is open, or a peer has opened one.
    Opened {
        /// The connection.
        connection: ConnectionId,
        /// The peer's address.
        peer: SocketAddr,
        /// TCP or TLS.
        wire: Wire,
        /// Names in the peer's verified certificate; empty where it showed none.
        names: Vec<String>,
    },
    /// A connection is closed, or could not be opened.
    Closed {
        /// The connection.
        connection: ConnectionId,
    },
    /// The answer to [`Output::Resolve`]: addresses in the order in which they are to be tried; empty: there are none.
    Resolved {
        /// The question.
        query: ResolveId,
        /// Each address, and its time to live in seconds.
        addresses: Vec<(SocketAddr, u32)>,
    },
    /// The deadline has come.
    Timeout,
}

/// What has to be done for the trunks.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// Where to.
        flow: Flow,
        /// What.
        text: String,
    },
    /// Open a connection.
    Connect {
        /// Its name from now on.
        connection: ConnectionId,
        /// The peer's address.
        peer: SocketAddr,
        /// TCP or TLS.
        wire: Wire,
        /// The name that the certificate must have; empty for TCP.
        name: String,
    },
    /// Close a connection.
    Disconnect {
        /// The connection.
        connection: ConnectionId,
    },
    /// Look a host up: SRV (RFC 3263) where `port` is `None`, else A and AAAA.
    Resolve {
        /// The question.
        query: ResolveId,
        /// The name.
        host: String,
        /// The port, where the configuration names one.
        port: Option<u16>,
        /// Which service.
        wire: Wire,
    },
    /// For the B2BUA.
    Event(Event),
    /// Something to count.
    Record(Record),
}

/// What the trunks tell the B2BUA.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request of a trunk that has shown its identity. No ACK to a failure, no retransmission, no OPTIONS outside a dialog. A CANCEL
    /// is of an INVITE whose transaction lives; it is answered as any other request.
    Request {
        /// The trunk.
        trunk: TrunkId,
        /// Other trunks that send from the same source: in their calls the request may be theirs.
        others: Vec<TrunkId>,
        /// What it is answered with; `None` for the ACK to a 2xx.
        key: Option<ServerKey>,
        /// The message, its topmost Via completed by where it came from (RFC 3261, 18.2.1).
        message: OwnedMessage,
    },
    /// A response, provisional or final, also each retransmission of a 2xx to INVITE. Challenges that can be met were met.
    Response {
        /// The request.
        key: ClientKey,
        /// The message.
        message: OwnedMessage,
    },
    /// No response in time, or no path to the trunk: counts as 408 or 503, by `code`.
    Failed {
        /// The request.
        key: ClientKey,
        /// The SIP status that it stands for.
        code: StatusCode,
    },
    /// A 2xx of ours was never acknowledged, or a failure (timer H).
    NoAck {
        /// The request.
        key: ServerKey,
    },
}

/// Something for the metrics; it is in the log already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A message from a source that is no trunk; counted, never answered over UDP.
    Untrusted {
        /// Where from.
        peer: SocketAddr,
        /// `method`, `answer`, `malformed`, `credentials`.
        what: &'static str,
    },
}
