//! Who calls and who is called: a user of an application, or what is none of its users.

use crate::port::ConnId;

/// One user of one application (the address-of-record).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Aor {
    /// Application key.
    pub(super) application: String,
    /// User id, unescaped; never empty.
    pub(super) user: String,
}

/// Who calls or is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// A user.
    User(Aor),
    /// Telephones and other SIP domains, which the back-to-back user agent reaches for an application.
    Outside {
        /// Application key.
        application: String,
    },
}

impl Party {
    /// The key of its application.
    pub(super) fn application(&self) -> &str {
        match self {
            Self::User(aor) => &aor.application,
            Self::Outside { application } => application,
        }
    }

    /// The user; `None` outside.
    pub(super) const fn user(&self) -> Option<&Aor> {
        match self {
            Self::User(aor) => Some(aor),
            Self::Outside { .. } => None,
        }
    }

    /// Whether it is none of the users.
    pub(super) const fn is_outside(&self) -> bool {
        matches!(self, Self::Outside { .. })
    }
}

/// What a message comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    /// A connection of a page or device.
    WebSocket(ConnId),
    /// The back-to-back user agent, for an application: always there.
    B2bua(ApplicationId),
}

impl Flow {
    /// The connection; `None` where it is none.
    pub(super) const fn conn(self) -> Option<ConnId> {
        match self {
            Self::WebSocket(conn) => Some(conn),
            Self::B2bua(_) => None,
        }
    }

    /// The number of the connection, for the log.
    pub(super) fn number(self) -> Option<u64> {
        self.conn().map(|conn| conn.0)
    }
}

/// An application: its place among all of them, in the order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApplicationId(pub(super) usize);
