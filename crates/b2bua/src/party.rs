//! One side of a call: the page, or the SIP side. Which of them calls makes no difference here.
//!
//! ```text
//!   caller   Received ── 200, ACK ──▶ in dialog          callee   Sent ── 1xx ──▶ forks ── 2xx ──▶ in dialog
//!               └── failure ──▶ gone                                └── failure ──▶ gone, or the next trunk
//! ```

use offhook_media::Leg;
use offhook_sip::{Abilities, Message, Method, Name, OwnedMessage, StatusCode, Writer, reply};
use offhook_trunk::TrunkId;
use offhook_ua::dialog::Dialog;
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::{ClientKey, ServerKey};
use offhook_ua::{forks, reliable};

use super::context::{SDP, Tenant, Way};

/// What we take part in within a call.
const METHODS: [Method<'static>; 8] =
    [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Update, Method::Prack, Method::Info, Method::Options];
/// What pages may ask of us.
const PAGE: Abilities<'static> = Abilities {
    methods: &METHODS,
    extensions: &["100rel", "timer", "trickle-ice", "outbound"],
    bodies: &[SDP],
    info_bodies: &["application/trickle-ice-sdpfrag", "application/dtmf-relay", "application/dtmf"],
    packages: &["trickle-ice"],
};
/// What the SIP side may ask of us.
const PEER: Abilities<'static> = Abilities { extensions: &["100rel", "timer"], ..PAGE };

/// What that side of a call may ask of us.
pub(super) const fn can(leg: Leg) -> Abilities<'static> {
    match leg {
        Leg::Page => PAGE,
        Leg::Peer => PEER,
    }
}

/// The methods that we take part in within a call.
pub(super) fn allow() -> String {
    PAGE.allow()
}

/// Who has sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Speaker<'a> {
    /// A user of an application: the switch knows for whom each connection speaks.
    Page { tenant: Tenant, user: &'a str },
    /// A trunk, or one of others that send from the same place.
    Peer { trunk: &'a TrunkId, others: &'a [TrunkId] },
}

impl Speaker<'_> {
    pub(super) const fn leg(self) -> Leg {
        match self {
            Self::Page { .. } => Leg::Page,
            Self::Peer { .. } => Leg::Peer,
        }
    }
}

/// One side of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) leg: Leg,
    /// Where it is; none before a trunk is chosen.
    pub(super) way: Option<Way>,
    /// Our tag.
    pub(super) tag: String,
    /// Our Contact.
    pub(super) contact: String,
    /// The dialog, once there is a single one.
    pub(super) dialog: Option<Dialog>,
    /// Early dialogs of our INVITE.
    pub(super) forks: Vec<Fork>,
    pub(super) invite: Invite,
    /// Our description, once made.
    pub(super) local: Option<String>,
    /// Whether our description went out in a reliable provisional answer that was acknowledged.
    pub(super) described: bool,
    /// Our 2xx or reliable provisional response, until it is acknowledged.
    pub(super) reliable: reliable::Uas,
    pub(super) exchange: Exchange,
    pub(super) timer: SessionTimer,
    /// Our ACK, for the case that the 2xx comes again.
    pub(super) ack: Option<String>,
    /// Whether it takes UPDATE (RFC 3311).
    pub(super) updates: bool,
    /// Whether it wants to hear of the credit (RFC 6086).
    pub(super) hears_credit: bool,
    /// Whether it has left, by BYE or by not knowing the dialog any more.
    pub(super) gone: bool,
}

/// An INVITE between us and this side.
#[derive(Debug)]
pub(super) enum Invite {
    /// None yet.
    None,
    /// It has sent one that waits for its final answer.
    Received { key: ServerKey, invite: OwnedMessage },
    /// We have sent one.
    Sent { key: ClientKey },
    /// It was answered for good.
    Done,
}

/// An early dialog.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    /// Which reliable provisional responses were acknowledged.
    pub(super) reliable: reliable::Uac,
    /// What it answered to our offer.
    pub(super) sdp: Option<String>,
}

/// Who offers what (RFC 3264): one at a time.
#[derive(Debug, Default)]
pub(super) enum Exchange {
    /// Nothing.
    #[default]
    Idle,
    /// The first description for this side is being made.
    First,
    /// The answer to their offer is being made, or an offer where their INVITE had none.
    Answering { key: ServerKey, request: OwnedMessage },
    /// The same; but they have taken their request back.
    Dropped,
    /// An offer of ours is being made.
    Offering,
    /// It is out.
    Offered,
}

impl Fork {
    /// Returns a fork of which nothing but the dialog is known.
    pub(super) fn new(dialog: Dialog) -> Self {
        Self { dialog, reliable: reliable::Uac::default(), sdp: None }
    }
}

impl forks::Fork for Fork {
    fn dialog(&mut self) -> &mut Dialog {
        &mut self.dialog
    }
}

impl Party {
    pub(super) const fn new(leg: Leg, way: Option<Way>, tag: String, contact: String) -> Self {
        Self {
            leg,
            way,
            tag,
            contact,
            dialog: None,
            forks: Vec::new(),
            invite: Invite::None,
            local: None,
            described: false,
            reliable: reliable::Uas::new(),
            exchange: Exchange::Idle,
            timer: SessionTimer::new(),
            ack: None,
            updates: false,
            hears_credit: false,
            gone: false,
        }
    }

    /// The dialog that a request belongs to.
    pub(super) fn dialog_of(&mut self, request: &Message<'_>) -> Option<&mut Dialog> {
        let forks = self.forks.iter_mut().map(|fork| &mut fork.dialog);
        self.dialog.iter_mut().chain(forks).find(|dialog| dialog.receives(request))
    }

    /// Learns what this side can do.
    pub(super) fn learn(&mut self, message: &Message<'_>) {
        self.updates |= message.has_token(Name::Allow, "UPDATE");
        self.hears_credit |= message.has_token(Name::RecvInfo, "offhook-credit");
    }

    /// Whether a re-INVITE of this side waits for our answer.
    pub(super) fn answers(&self, invite: &ServerKey) -> bool {
        matches!(&self.exchange, Exchange::Answering { key, .. } if key == invite)
    }

    /// Begins an answer to a request of this side.
    pub(super) fn reply(&self, request: &Message<'_>, code: StatusCode) -> Writer {
        reply(request, code, Some(&self.tag))
            .field("Contact", &self.contact)
            .field("Allow", &allow())
            .field("Supported", self.supported())
            .field("Recv-Info", &can(self.leg).packages.join(", "))
    }

    /// Extensions that we name to this side. A page that could not trickle would wait for its candidates; we need none of them, as the
    /// gateway is ICE-lite.
    pub(super) const fn supported(&self) -> &'static str {
        match self.leg {
            Leg::Page => "100rel, timer, trickle-ice",
            Leg::Peer => "100rel, timer",
        }
    }
}
