//! Who can be reached where (RFC 3261, 10; RFC 5626): users and the devices that they registered.
//!
//! ```text
//!            register                connection lost
//!   (none) ───────────▶ online ─────────────────────▶ offline
//!      ▲                │    ▲                          │  │
//!      │  Expires: 0,   │    └────── registers again ───┘  │
//!      └── ran out ─────┴───────────── ran out ────────────┘
//! ```
//!
//! Online: it rings. Offline: it does not ring, but its place is kept until the registration runs out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use offhook_sip::{ApiCode, Message, Name, NameAddr, StatusCode, Uri};
use offhook_ua::log::Masked;
use offhook_ua::time::Instant;
use offhook_ua::uas;
use tracing::info;

use crate::ConnId;
use crate::party::Aor;
use crate::refusal::Refusal;
use crate::timers::Clock;

/// Devices of one user.
const MAX_BINDINGS: usize = 10;
/// Contacts in one REGISTER.
const MAX_CONTACTS: usize = 4;
/// Octets of a contact URI.
const MAX_URI: usize = 512;
/// The shortest registration in seconds.
pub(super) const MIN_EXPIRES: u32 = 60;
/// The longest registration in seconds.
pub(super) const MAX_EXPIRES: u32 = 3600;

const TOO_BRIEF: Refusal = Refusal::of(uas::Refusal::IntervalTooBrief(MIN_EXPIRES), ApiCode::Parameter, "Interval too brief");
/// An older REGISTER came after a newer one (RFC 3261, 10.3, step 7).
const OUT_OF_ORDER: Refusal = Refusal::new(StatusCode::SERVER_INTERNAL_ERROR, ApiCode::Internal, "REGISTER out of order");
/// The user has too many devices.
const TOO_MANY: Refusal = Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Too many devices");

/// What tells one device of a user from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Device {
    /// It has a name that survives reconnects (`+sip.instance`).
    Instance(String),
    /// It is known by its contact only.
    Contact(Target),
}

impl Device {
    /// The device that has this contact, as well as it can be told.
    pub(super) fn of(contact: &NameAddr<'_>) -> Self {
        let target = Target::of(&contact.uri);
        let name = instance(contact).ok().flatten().or_else(|| target.gr.clone());
        name.map_or(Self::Contact(target), Self::Instance)
    }
}

/// The part of a URI by which a device is found again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    user: String,
    host: String,
    port: Option<u16>,
    /// The instance that a GRUU names (RFC 5627).
    gr: Option<String>,
}

impl Target {
    /// The target that a contact or Request-URI names.
    pub(super) fn of(uri: &Uri<'_>) -> Self {
        let gr = uri.params.get("gr").filter(|gr| !gr.is_empty()).map(str::to_ascii_lowercase);
        Self { user: uri.user_text().into_owned(), host: uri.host.to_ascii_lowercase(), port: uri.port, gr }
    }
}

/// One binding: a device, and the connection that leads to it (RFC 5626: a flow).
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// The device.
    pub(super) device: Device,
    /// Which of the device's flows (RFC 5626, 4.2: `reg-id`); 0 where it names none.
    pub(super) reg_id: u32,
    /// Its contact URI as it came.
    pub(super) contact: String,
    /// The same, to compare.
    pub(super) target: Target,
    /// Its connection; `None` while it is offline.
    pub(super) conn: Option<ConnId>,
    /// When it runs out.
    pub(super) expires: Instant,
    call_id: String,
    cseq: u32,
}

/// What a REGISTER changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Devices that are online on this connection and were not before.
    pub(super) arrived: Vec<Device>,
    /// Bindings taken away.
    pub(super) removed: usize,
    /// Connections on which the same device was before.
    pub(super) replaced: BTreeSet<ConnId>,
}

/// All bindings.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    aors: BTreeMap<Aor, Vec<Binding>>,
    /// Connections that carry a binding; a connection speaks for one user.
    by_conn: BTreeMap<ConnId, Aor>,
}

/// A contact of a REGISTER, read and checked.
struct Update {
    device: Device,
    reg_id: u32,
    contact: String,
    target: Target,
    expires: u32,
}

impl Registrar {
    /// Takes in a REGISTER for `aor` that came over `conn`. Nothing is changed where it is refused. No binding is made for longer than
    /// `most` seconds: an identity that ends before is no reason to refuse who asks for more, or for [`MIN_EXPIRES`].
    ///
    /// # Errors
    ///
    /// The sender is at fault, or has too many devices.
    pub(super) fn register(
        &mut self,
        clock: &Clock,
        aor: &Aor,
        conn: ConnId,
        most: u32,
        request: &Message<'_>,
    ) -> Result<Change, Refusal> {
        self.expire(clock, aor);
        let call_id = request.call_id().map_err(|_| Refusal::malformed("no Call-ID"))?;
        let cseq = request.cseq().map_err(|_| Refusal::malformed("no CSeq"))?.number;
        let mut updates = if request.contact_is_star() { self.removals(aor, request)? } else { updates(request)? };
        updates.iter_mut().for_each(|update| update.expires = update.expires.min(most));
        let bindings = self.aors.get(aor).map_or(&[][..], Vec::as_slice);
        for update in &updates {
            let old = bindings.iter().find(|binding| update.concerns(binding));
            if old.is_some_and(|old| old.call_id == call_id && old.cseq >= cseq) {
                return Err(OUT_OF_ORDER);
            }
        }
        self.evict_offline(aor, &updates)?;
        let mut change = Change::default();
        let left: Vec<ConnId> =
            updates.into_iter().flat_map(|update| self.apply(clock, aor, conn, update, (call_id, cseq), &mut change)).collect();
        self.tidy(aor, left.into_iter());
        Ok(change)
    }

    /// The bindings of a user, those out of time included until [`Registrar::expire`].
    pub(super) fn bindings(&self, aor: &Aor) -> &[Binding] {
        self.aors.get(aor).map_or(&[], Vec::as_slice)
    }

    /// The online binding of each device of a user: the last one registered where a device has several.
    pub(super) fn online(&self, clock: &Clock, aor: &Aor) -> Vec<&Binding> {
        let mut online: BTreeMap<&Device, &Binding> = BTreeMap::new();
        for binding in self.bindings(aor).iter().filter(|binding| binding.conn.is_some() && binding.expires > clock.now) {
            online.insert(&binding.device, binding);
        }
        online.into_values().collect()
    }

    /// The binding of a user that a Request-URI names, by contact or by GRUU; one that is online where there is one.
    pub(super) fn find(&self, aor: &Aor, target: &Target) -> Option<&Binding> {
        let named = |binding: &&Binding| match &target.gr {
            Some(gr) => binding.device == Device::Instance(gr.clone()),
            None => binding.target == *target,
        };
        let candidates = || self.bindings(aor).iter().rev().filter(named);
        candidates().find(|binding| binding.conn.is_some()).or_else(|| candidates().next())
    }

    /// A connection is gone: what it carried goes offline. Returns the devices that were registered on it.
    pub(super) fn close(&mut self, conn: ConnId) -> BTreeSet<Device> {
        let mut devices = BTreeSet::new();
        let Some(aor) = self.by_conn.remove(&conn) else { return devices };
        for binding in self.aors.get_mut(&aor).into_iter().flatten().filter(|binding| binding.conn == Some(conn)) {
            binding.conn = None;
            devices.insert(binding.device.clone());
        }
        devices
    }

    /// The identity of a connection holds no longer: removes the bindings that it carries. Returns how many.
    pub(super) fn lapse(&mut self, conn: ConnId) -> usize {
        let Some(aor) = self.by_conn.remove(&conn) else { return 0 };
        let lapsed = self.aors.get_mut(&aor).map_or(0, |all| all.extract_if(.., |binding| binding.conn == Some(conn)).count());
        self.tidy(&aor, std::iter::empty());
        lapsed
    }

    /// Removes the bindings that have run out. Returns how many.
    pub(super) fn expire(&mut self, clock: &Clock, aor: &Aor) -> usize {
        let Some(bindings) = self.aors.get_mut(aor) else { return 0 };
        let gone: Vec<Binding> = bindings.extract_if(.., |binding| binding.expires <= clock.now).collect();
        self.tidy(aor, gone.iter().filter_map(|binding| binding.conn));
        gone.len()
    }

    /// When the next binding of a user runs out.
    pub(super) fn expiry(&self, aor: &Aor) -> Option<Instant> {
        self.bindings(aor).iter().map(|binding| binding.expires).min()
    }

    /// How many devices are online.
    pub(super) fn devices(&self) -> usize {
        self.by_conn.len()
    }

    /// How many bindings there are, online or not.
    pub(super) fn len(&self) -> usize {
        self.aors.values().map(Vec::len).sum()
    }

    /// `Contact: *` with `Expires: 0`: an update that removes each binding there is.
    fn removals(&self, aor: &Aor, request: &Message<'_>) -> Result<Vec<Update>, Refusal> {
        if request.all(Name::Contact).count() != 1 || request.number(Name::Expires) != Some(0) {
            return Err(Refusal::malformed("Contact * without Expires 0"));
        }
        let update = |binding: &Binding| Update {
            device: binding.device.clone(),
            reg_id: binding.reg_id,
            contact: binding.contact.clone(),
            target: binding.target.clone(),
            expires: 0,
        };
        Ok(self.bindings(aor).iter().map(update).collect())
    }

    /// Where the new devices do not fit, the offline ones that run out first are evicted.
    fn evict_offline(&mut self, aor: &Aor, updates: &[Update]) -> Result<(), Refusal> {
        let bindings = self.aors.entry(aor.clone()).or_default();
        let new =
            updates.iter().filter(|update| update.expires > 0 && !bindings.iter().any(|binding| update.concerns(binding))).count();
        let excess = (bindings.len() + new).saturating_sub(MAX_BINDINGS);
        let idle = |binding: &Binding| binding.conn.is_none() && !updates.iter().any(|update| update.concerns(binding));
        if bindings.iter().filter(|binding| idle(binding)).count() < excess {
            self.tidy(aor, std::iter::empty());
            return Err(TOO_MANY);
        }
        for _ in 0..excess {
            let oldest =
                bindings.iter().enumerate().filter(|(_, binding)| idle(binding)).min_by_key(|(_, binding)| binding.expires);
            if let Some(at) = oldest.map(|(at, _)| at) {
                bindings.remove(at);
                info!(application = aor.application, user = %Masked(&aor.user), reason = "a newer device takes its place", "unregistered");
            }
        }
        Ok(())
    }

    /// Makes, refreshes or removes one binding. Returns the other connections that it was on before.
    fn apply(
        &mut self,
        clock: &Clock,
        aor: &Aor,
        conn: ConnId,
        update: Update,
        (call_id, cseq): (&str, u32),
        change: &mut Change,
    ) -> Vec<ConnId> {
        let bindings = self.aors.entry(aor.clone()).or_default();
        let old: Vec<Option<ConnId>> = bindings.extract_if(.., |binding| update.concerns(binding)).map(|old| old.conn).collect();
        let left = || old.iter().flatten().copied();
        if update.expires == 0 {
            change.removed += old.len();
            return left().collect();
        }
        if !old.contains(&Some(conn)) {
            change.replaced.extend(left());
            change.arrived.push(update.device.clone());
        }
        let Update { device, reg_id, contact, target, expires } = update;
        let expires = clock.now + Duration::from_secs(expires.into());
        bindings.push(Binding { device, reg_id, contact, target, conn: Some(conn), expires, call_id: call_id.to_owned(), cseq });
        self.by_conn.insert(conn, aor.clone());
        left().filter(|before| *before != conn).collect()
    }

    /// Forgets the user where it has no binding, and those of the connections that a binding left which carry none any more.
    fn tidy(&mut self, aor: &Aor, left: impl Iterator<Item = ConnId>) {
        for conn in left {
            if !self.bindings(aor).iter().any(|binding| binding.conn == Some(conn)) {
                self.by_conn.remove(&conn);
            }
        }
        if self.aors.get(aor).is_some_and(Vec::is_empty) {
            self.aors.remove(aor);
        }
    }
}

impl Update {
    /// Whether it is about this binding: that of the same flow of the same device, else that with the same URI.
    fn concerns(&self, binding: &Binding) -> bool {
        self.is_about(&binding.device, binding.reg_id, &binding.target)
    }

    fn is_about(&self, device: &Device, reg_id: u32, target: &Target) -> bool {
        match (&self.device, device) {
            (Device::Instance(_), Device::Instance(_)) => self.device == *device && self.reg_id == reg_id,
            _ => self.target == *target,
        }
    }

    /// Whether it only makes room for another contact of the same REGISTER.
    fn makes_room_for(&self, other: &Self) -> bool {
        self.expires == 0 && other.expires > 0 && self.is_about(&other.device, other.reg_id, &other.target)
    }

    /// The order in which the contacts of a REGISTER are taken, whatever theirs is: of two that want the same binding the last one has it.
    fn rank(&self) -> impl Ord + use<> {
        let named = matches!(self.device, Device::Instance(_));
        (self.expires > 0, named, self.device.clone(), self.reg_id, self.contact.clone(), self.expires)
    }
}

/// Reads the contacts of a REGISTER. They are one state that its sender wants (RFC 3261, 10.3; RFC 5626, 6) and no sequence of steps: their order
/// means nothing.
fn updates(request: &Message<'_>) -> Result<Vec<Update>, Refusal> {
    let contacts: Result<Vec<_>, _> = request.contacts().take(MAX_CONTACTS + 1).collect();
    let contacts = contacts.map_err(|_| Refusal::malformed("malformed Contact"))?;
    if contacts.len() > MAX_CONTACTS {
        return Err(TOO_MANY);
    }
    let default = request.get(Name::Expires).map_or(MAX_EXPIRES, seconds);
    let mut updates = contacts.iter().map(|contact| update(contact, default)).collect::<Result<Vec<_>, _>>()?;
    updates.sort_by_key(Update::rank);
    let (wanted, removed): (Vec<_>, Vec<_>) = updates.into_iter().partition(|update| update.expires > 0);
    let removed = removed.into_iter().filter(|update| !wanted.iter().any(|other| update.makes_room_for(other)));
    let mut updates: Vec<_> = removed.collect();
    updates.extend(wanted);
    Ok(updates)
}

fn update(contact: &NameAddr<'_>, default: u32) -> Result<Update, Refusal> {
    let uri = &contact.uri;
    if !uri.is_sip()
        || contact.uri_text.len() > MAX_URI
        || contact.uri_text.contains(|c: char| c.is_control() || c == '<' || c == '>')
    {
        return Err(Refusal::malformed("Contact is no SIP URI"));
    }
    let expires = contact.params.get("expires").map_or(default, seconds);
    if (1..MIN_EXPIRES).contains(&expires) {
        return Err(TOO_BRIEF);
    }
    let target = Target::of(uri);
    let device = instance(contact)?.map_or_else(|| Device::Contact(target.clone()), Device::Instance);
    let reg_id = contact.params.get("reg-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    Ok(Update { device, reg_id, contact: contact.uri_text.to_owned(), target, expires: expires.min(MAX_EXPIRES) })
}

/// The name of the device: `urn:uuid:…`, without quotes and angle brackets.
///
/// # Errors
///
/// Where it is not short and plain: it is written into URIs and quoted strings.
fn instance(contact: &NameAddr<'_>) -> Result<Option<String>, Refusal> {
    let Some(value) = contact.params.get("+sip.instance") else { return Ok(None) };
    let name = value.trim_matches(['"', '<', '>']);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:._".contains(&b));
    if name.is_empty() || name.len() > 128 || !plain {
        return Err(Refusal::malformed("malformed +sip.instance"));
    }
    Ok(Some(name.to_ascii_lowercase()))
}

/// A malformed value counts as 3600 (RFC 3261, 10.3, step 6, and 20.10).
fn seconds(value: &str) -> u32 {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) { value.parse().unwrap_or(u32::MAX) } else { MAX_EXPIRES }
}
