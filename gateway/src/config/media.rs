//! `[media]`: addresses and ports for the media of calls between pages and SIP.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{ConfigError, between, wrong};

/// Addresses and ports for the media of calls between pages and SIP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// The address of the sockets.
    pub bind: IpAddr,
    /// The addresses of the gateway in SDP, at most one of each family; empty: `bind`.
    pub advertise: Vec<IpAddr>,
    /// The UDP port for all pages, followed by one for each further processor core; 0: free ports.
    pub page_port: u16,
    /// The UDP ports for the SIP side, two for each call.
    pub ports: String,
    /// Seconds without a packet after which a side of a call counts as vanished.
    pub silence: u64,
    /// Calls with media, without those to test numbers.
    pub sessions: usize,
    /// Calls to test numbers.
    pub test_sessions: usize,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            advertise: Vec::new(),
            page_port: 0,
            ports: "30000-39999".into(),
            silence: 30,
            sessions: 500,
            test_sessions: 50,
        }
    }
}

impl Media {
    /// Returns the addresses in SDP.
    #[must_use]
    pub fn told(&self) -> Vec<IpAddr> {
        if self.advertise.is_empty() { vec![self.bind] } else { self.advertise.clone() }
    }

    /// Returns the ports for the SIP side.
    #[must_use]
    pub fn range(&self) -> Option<RangeInclusive<u16>> {
        let (first, last) = self.ports.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse::<u16>().ok()?);
        (first >= 1024 && last > first).then_some(first..=last)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.range().is_none() {
            return wrong("media.ports", "must be two ports from 1024 on, such as \"30000-39999\"");
        }
        if self.bind.is_unspecified() && self.advertise.is_empty() {
            return wrong("media.advertise", "must name the address at which others reach `media.bind`");
        }
        let families = |v4| self.advertise.iter().filter(|address| address.is_ipv4() == v4).count();
        let wildcard = |address: &IpAddr| address.is_unspecified() || address.is_multicast();
        if self.advertise.iter().any(wildcard) || families(true) > 1 || families(false) > 1 {
            return wrong("media.advertise", "must be addresses of this machine as others see it, one for IPv4, one for IPv6");
        }
        between("media.silence", self.silence, 1, 86_400)?;
        between("media.sessions", self.sessions as u64, 0, 32_000)?;
        between("media.test_sessions", self.test_sessions as u64, 0, 32_000)
    }
}
