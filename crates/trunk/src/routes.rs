//! Which trunks a call may take, and in which order; and which SIP addresses are telephones.

use offhook_sip::escape_user;
use offhook_sip::telephone::is_number;
use offhook_ua::time::Instant;

use super::chance::order;
use super::peer::Peer;
use super::{TrunkId, Trunks};
use crate::config;

/// Whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A number: `+` and digits.
    Phone(String),
    /// A SIP address elsewhere.
    Sip {
        /// The user part, unescaped.
        user: String,
        /// The domain.
        host: String,
    },
}

impl Trunks {
    /// Returns the trunks to try, in this order: those with the longest fitting prefix or domain first, then by priority, then by chance according to
    /// weight. None that is down or full.
    pub fn routes(&mut self, now: Instant, destination: &Destination) -> Vec<TrunkId> {
        let free = |peer: &&Peer| peer.health.is_up(now) && !peer.is_full();
        let fits = |peer: &Peer| {
            let dialled = matches!(destination, Destination::Sip { user, host } if self.dials(peer, called(user, host)));
            Some(Candidate::of(&peer.config, fit(&peer.config, destination).filter(|_| !dialled)?))
        };
        let candidates = self.peers.iter().filter(free).filter_map(fits).collect();
        let ordered = order(candidates, Candidate::rank, |candidate| candidate.weight, &mut self.random);
        ordered.into_iter().map(|candidate| candidate.trunk).collect()
    }

    /// Whether a SIP address is that of a telephone: its user part may be dialled as a number, and a trunk that reaches telephones serves
    /// its domain, or is there itself. Whoever calls such an address calls a number, with all that this costs.
    #[must_use]
    pub fn is_telephone(&self, user: &str, host: &str) -> bool {
        let there = |config: &config::Trunk| {
            let names = [config.place().0, config.home().trim_matches(['[', ']'])].map(str::to_ascii_lowercase);
            names.contains(&host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase())
        };
        let serves = |peer: &&Peer| domain_of(&peer.config, host).is_some() || there(&peer.config);
        let mut dialling = self.peers.iter().filter(serves).filter(|peer| self.reaches(peer)).peekable();
        let called = called(user, host);
        is_number(called) && dialling.peek().is_some() && dialling.all(|peer| !peer.config.has_extension(called))
    }

    /// Whether telephones are behind a trunk; where the operator does not say, also behind one without domains.
    #[must_use]
    pub fn has_telephones(&self, trunk: &TrunkId) -> bool {
        let silent = |config: &config::Trunk| config.telephones.is_none() && config.domains.is_empty();
        self.peers.iter().find(|peer| peer.id == *trunk).is_some_and(|peer| self.reaches(peer) || silent(&peer.config))
    }

    /// Returns the Request-URI of a call over a trunk.
    #[must_use]
    pub fn invite_uri(&self, trunk: &TrunkId, destination: &Destination) -> String {
        match (destination, self.config(trunk)) {
            (Destination::Phone(number), Some(config)) => {
                let number = if config.plus { number } else { number.trim_start_matches('+') };
                format!("sip:{number}@{};user=phone", config.home())
            }
            (Destination::Phone(number), None) => format!("tel:{number}"),
            (Destination::Sip { user, host }, _) if user.is_empty() => format!("sip:{host}"),
            (Destination::Sip { user, host }, _) => format!("sip:{}@{host}", escape_user(user)),
        }
    }

    /// Whether a number may be shown as the caller's over a trunk.
    #[must_use]
    pub fn may_show(&self, trunk: &TrunkId, number: &str) -> bool {
        let shown = |config: &config::Trunk| {
            config.caller_ids.is_empty() || config.caller_ids.iter().any(|beginning| number.starts_with(beginning.as_str()))
        };
        self.config(trunk).is_some_and(shown)
    }

    /// Whether a user's name would be taken for a number behind a trunk.
    #[must_use]
    pub fn may_mislead(&self, trunk: &TrunkId, name: &str) -> bool {
        let restricted = self.config(trunk).is_none_or(|config| !config.caller_ids.is_empty());
        is_number(name) && (restricted || self.has_telephones(trunk))
    }

    /// Whether a trunk would dial this user part.
    fn dials(&self, peer: &Peer, user: &str) -> bool {
        is_number(user) && self.reaches(peer) && !peer.config.has_extension(user)
    }

    /// Whether numbers can be called over a trunk, as the operator says. Where he does not say, they can over one with prefixes, and over each
    /// that leads to the same host, under whatever name.
    fn reaches(&self, peer: &Peer) -> bool {
        let dials = |peer: &Peer| peer.config.telephones.unwrap_or(!peer.config.prefixes.is_empty());
        let same_place = |other: &Peer| {
            let (here, there) = ([peer.config.place().0, &peer.config.home()], [other.config.place().0, &other.config.home()]);
            here.iter().any(|name| there.iter().any(|other| name.eq_ignore_ascii_case(other)))
                || other.addresses.iter().any(|known| peer.addresses.iter().any(|address| address.ip() == known.ip()))
        };
        let implied = || dials(peer) || self.peers.iter().any(|other| dials(other) && same_place(other));
        peer.config.telephones.unwrap_or_else(implied)
    }
}

struct Candidate {
    trunk: TrunkId,
    length: usize,
    priority: u32,
    weight: u64,
}

impl Candidate {
    fn of(config: &config::Trunk, length: usize) -> Self {
        let (priority, weight) = (config.priority, u64::from(config.weight));
        Self { trunk: TrunkId(config.name.clone()), length, priority, weight }
    }

    const fn rank(&self) -> (std::cmp::Reverse<usize>, u32) {
        (std::cmp::Reverse(self.length), self.priority)
    }
}

/// Returns how many characters of the destination a trunk names; `None`: it does not lead there.
fn fit(config: &config::Trunk, destination: &Destination) -> Option<usize> {
    match destination {
        Destination::Phone(number) => {
            let fitting = config.prefixes.iter().filter(|prefix| number.starts_with(prefix.as_str()));
            fitting.map(String::len).max()
        }
        Destination::Sip { host, .. } => domain_of(config, host),
    }
}

/// Returns the part of a SIP address that may be dialled.
const fn called<'a>(user: &'a str, host: &'a str) -> &'a str {
    if user.is_empty() { host } else { user }
}

fn domain_of(config: &config::Trunk, host: &str) -> Option<usize> {
    config.domains.iter().filter_map(|domain| domain_fit(domain, host)).max()
}

/// Returns how well a domain fits a host: `*` fits every host, `*.example.com` every host below, anything else itself.
fn domain_fit(domain: &str, host: &str) -> Option<usize> {
    let fits = match domain.strip_prefix('*') {
        Some(tail) => host.len() > tail.len() && ends_with(host, tail),
        None => host.eq_ignore_ascii_case(domain),
    };
    fits.then_some(domain.len() + usize::from(!domain.starts_with('*')))
}

fn ends_with(host: &str, tail: &str) -> bool {
    host.len().checked_sub(tail.len()).and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_fits_itself_or_what_is_below() {
        for (domain, host, fit) in [
            ("example.com", "Example.com", Some(12)),
            ("*.example.com", "a.example.com", Some(13)),
            ("*.example.com", "example.com", None),
            ("*.example.com", "badexample.com", None),
            ("*", "x", Some(1)),
            ("example.com", "example.org", None),
        ] {
            assert_eq!(domain_fit(domain, host), fit, "{domain} {host}");
        }
    }
}
