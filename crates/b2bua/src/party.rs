//! One leg of a call and its remote party: the page, or the SIP side. Either may be the caller.
//!
//! ```text
//!   caller   Received ── 200, ACK ──▶ in dialog          callee   Sent ── 1xx ──▶ forks ── 2xx ──▶ in dialog
//!               └── failure ──▶ ended                               └── failure ──▶ ended, or the next trunk
//! ```

use offhook_media::Leg;
use offhook_sip::{Abilities, Message, Method, Name, OwnedMessage, StatusCode, Writer, dtmf, reply};
use offhook_trunk::TrunkId;
use offhook_ua::dialog::Dialog;
use offhook_ua::session_timer::SessionTimer;
use offhook_ua::transaction::{ClientKey, ServerKey};
use offhook_ua::{forks, reliable};

use super::context::{NextHop, SDP, Tenant};

/// The methods that are served within a call.
const METHODS: [Method<'static>; 8] =
    [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Update, Method::Prack, Method::Info, Method::Options];
/// What pages may ask for.
const PAGE: Abilities<'static> = Abilities {
    methods: &METHODS,
    // A page that could not trickle would wait for our candidates; none of its own are needed, as the gateway is ICE-lite.
    extensions: &["100rel", "timer", "trickle-ice"],
    bodies: &[SDP],
    info_bodies: &["application/trickle-ice-sdpfrag", dtmf::TYPES[0], dtmf::TYPES[1]],
    packages: &["trickle-ice"],
};
/// What the SIP side may ask for.
const PEER: Abilities<'static> = Abilities { extensions: &["100rel", "timer"], ..PAGE };

/// Returns what the remote party of a leg may ask for.
pub(super) const fn abilities(leg: Leg) -> Abilities<'static> {
    match leg {
        Leg::Page => PAGE,
        Leg::Peer => PEER,
    }
}

/// Returns the value of Allow.
pub(super) fn allow() -> String {
    PAGE.allow()
}

/// Who has sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sender<'a> {
    /// A user of an application: the switch knows for whom each connection speaks.
    Page { tenant: Tenant, user: &'a str },
    /// A trunk, or one of others that send from the same place.
    Peer { trunk: &'a TrunkId, others: &'a [TrunkId] },
}

impl Sender<'_> {
    /// Returns the leg that the sender is on.
    pub(super) const fn leg(self) -> Leg {
        match self {
            Self::Page { .. } => Leg::Page,
            Self::Peer { .. } => Leg::Peer,
        }
    }
}

/// One leg of a call, and what is known of its remote party.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) leg: Leg,
    /// Where its messages go; `None` before that is known.
    pub(super) next_hop: Option<NextHop>,
    /// Our tag.
    pub(super) tag: String,
    /// Our Contact.
    pub(super) contact: String,
    /// The dialog, once there is a single one.
    pub(super) dialog: Option<Dialog>,
    /// Early dialogs of our INVITE.
    pub(super) forks: Vec<Fork>,
    /// The INVITE that begins the call on this leg.
    pub(super) invite: Invite,
    /// Our session description, from when it is made until the INVITE is answered.
    pub(super) local: Option<String>,
    /// Whether our description was in a reliable provisional response that was acknowledged: the 200 needs none.
    pub(super) described: bool,
    /// Our 2xx or reliable provisional response, until it is acknowledged.
    pub(super) reliable: reliable::Uas,
    pub(super) offer_answer: OfferAnswer,
    pub(super) timer: SessionTimer,
    /// Our last ACK, for retransmissions of its 2xx.
    pub(super) ack: Option<String>,
    /// Whether it allows UPDATE (RFC 3311).
    pub(super) updates: bool,
    /// Whether it takes INFO of package `offhook-credit` (RFC 6086).
    pub(super) wants_credit: bool,
    /// Whether its dialog is over: by BYE, or as it knows it no more.
    pub(super) gone: bool,
}

/// The INVITE that begins the call on one leg.
#[derive(Debug)]
pub(super) enum Invite {
    /// None yet.
    None,
    /// It was received and waits for its final response.
    Received { key: ServerKey, invite: OwnedMessage },
    /// It was sent and waits for its final response.
    Sent { key: ClientKey },
    /// It has its final response.
    Done,
}

/// An early dialog.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    /// Which reliable provisional responses were acknowledged.
    pub(super) reliable: reliable::Uac,
    /// Its answer to our offer.
    pub(super) sdp: Option<String>,
}

/// The offer/answer exchange with one remote party (RFC 3264): one at a time.
#[derive(Debug, Default)]
pub(super) enum OfferAnswer {
    /// None.
    #[default]
    Idle,
    /// Our first description is being made.
    First,
    /// The answer to an offer of the peer is being made, or an offer where its INVITE had none.
    Answering { key: ServerKey, request: OwnedMessage },
    /// The same, for a request that the peer has cancelled.
    Cancelled,
    /// An offer of ours is being made.
    Offering,
    /// An offer of ours waits for its answer.
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
    /// Returns a leg with no dialog yet; `tag` and `contact` are ours.
    pub(super) const fn new(leg: Leg, next_hop: Option<NextHop>, tag: String, contact: String) -> Self {
        Self {
            leg,
            next_hop,
            tag,
            contact,
            dialog: None,
            forks: Vec::new(),
            invite: Invite::None,
            local: None,
            described: false,
            reliable: reliable::Uas::new(),
            offer_answer: OfferAnswer::Idle,
            timer: SessionTimer::new(),
            ack: None,
            updates: false,
            wants_credit: false,
            gone: false,
        }
    }

    /// Returns the dialog that a request belongs to.
    pub(super) fn dialog_of(&mut self, request: &Message<'_>) -> Option<&mut Dialog> {
        let forks = self.forks.iter_mut().map(|fork| &mut fork.dialog);
        self.dialog.iter_mut().chain(forks).find(|dialog| dialog.receives(request))
    }

    /// Learns from a message what the remote party can do.
    pub(super) fn learn(&mut self, message: &Message<'_>) {
        self.updates |= message.has_token(Name::Allow, "UPDATE");
        self.wants_credit |= message.has_token(Name::RecvInfo, "offhook-credit");
    }

    /// Whether a re-INVITE with this key waits for our answer.
    pub(super) fn answers(&self, invite: &ServerKey) -> bool {
        matches!(&self.offer_answer, OfferAnswer::Answering { key, .. } if key == invite)
    }

    /// Begins a response to a request of the remote party.
    pub(super) fn reply(&self, request: &Message<'_>, code: StatusCode) -> Writer {
        reply(request, code, Some(&self.tag))
            .field("Contact", &self.contact)
            .field("Allow", &allow())
            .field("Supported", &abilities(self.leg).supported())
            .field("Recv-Info", &abilities(self.leg).packages.join(", "))
    }
}
