//! `[limits]`: limits of single addresses, connections and users.

use serde::{Deserialize, Serialize};

use super::{ConfigError, between, wrong};

/// Limits of single addresses, connections and users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections altogether.
    pub connections: usize,
    /// Connections of one address (IPv6: of one /64).
    pub connections_per_address: usize,
    /// Connections on which nothing was requested yet or that were told to close, and also WebSockets on which nothing was received
    /// yet. Where there are more, or no connection is left, one of the address with most of them is closed.
    pub silent: usize,
    /// WebSockets of one user.
    pub connections_per_user: usize,
    /// Concurrent calls made by one user; the same number of calls from users, and of calls from trunks, to one user.
    pub calls_per_user: usize,
    /// Calls of one caller that ring or wait at the same user.
    pub waiting_calls_per_caller: usize,
    /// SIP messages a second on one connection.
    pub messages_per_second: u32,
    /// SIP messages a second of one user.
    pub user_messages_per_second: u32,
    /// Octets of one SIP message or HTTP body.
    pub message_bytes: usize,
    /// Messages queued for a slow reader.
    pub queued_messages: usize,
    /// Failed authentications of any kind in a minute from one address (IPv6: from one /64), and also new users.
    pub sign_ins_per_minute: u32,
    /// Failed authentications in a minute for one user; after that, an address that has failed three times for this user has to
    /// wait.
    pub user_sign_ins_per_minute: u32,
    /// Milliseconds for the first octet, for a TLS handshake, and for the head of a request, each.
    pub handshake_timeout: u64,
    /// Milliseconds for a WebSocket message that has begun, a request with its body, and a blocked write, each.
    pub message_timeout: u64,
    /// Milliseconds between WebSocket pings.
    pub ping_interval: u64,
    /// Milliseconds without data after which a WebSocket is dead.
    pub idle_timeout: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1_000,
            silent: 2_000,
            connections_per_user: 20,
            calls_per_user: 20,
            waiting_calls_per_caller: 3,
            messages_per_second: 50,
            user_messages_per_second: 100,
            message_bytes: 65_536,
            queued_messages: 256,
            sign_ins_per_minute: 60,
            user_sign_ins_per_minute: 60,
            handshake_timeout: 5_000,
            message_timeout: 10_000,
            ping_interval: 25_000,
            idle_timeout: 60_000,
        }
    }
}

impl Limits {
    /// Checks that every value is within its range.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        between("limits.connections", self.connections as u64, 1, 10_000_000)?;
        between("limits.connections_per_address", self.connections_per_address as u64, 1, 10_000_000)?;
        between("limits.silent", self.silent as u64, 16, 1_000_000)?;
        between("limits.connections_per_user", self.connections_per_user as u64, 1, 10_000)?;
        between("limits.calls_per_user", self.calls_per_user as u64, 1, 10_000)?;
        between("limits.waiting_calls_per_caller", self.waiting_calls_per_caller as u64, 1, 10_000)?;
        between("limits.messages_per_second", u64::from(self.messages_per_second), 1, 1_000_000)?;
        between("limits.user_messages_per_second", u64::from(self.user_messages_per_second), 1, 1_000_000)?;
        between("limits.message_bytes", self.message_bytes as u64, 4_096, 65_536)?;
        between("limits.queued_messages", self.queued_messages as u64, 16, 65_536)?;
        between("limits.sign_ins_per_minute", u64::from(self.sign_ins_per_minute), 1, 1_000_000)?;
        between("limits.user_sign_ins_per_minute", u64::from(self.user_sign_ins_per_minute), 1, 1_000_000)?;
        between("limits.handshake_timeout", self.handshake_timeout, 100, 60_000)?;
        between("limits.message_timeout", self.message_timeout, 100, 60_000)?;
        between("limits.ping_interval", self.ping_interval, 100, 600_000)?;
        between("limits.idle_timeout", self.idle_timeout, 200, 3_600_000)?;
        if self.idle_timeout <= self.ping_interval {
            return wrong(
                "limits.idle_timeout",
                "must be longer than `limits.ping_interval`, or every silent connection is closed",
            );
        }
        Ok(())
    }
}
