//! Clients and servers with bugs on purpose, which the simulator must find.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Bob's page sends no BYE.
    ForgetsBye,
    /// Alice's page sends no ACK.
    ForgetsAck,
    /// The server sends CANCEL without Reason.
    ForgetsReason,
    /// The server sends no CANCEL.
    ForgetsCancel,
    /// The server forwards a 2xx after it has sent a failure.
    AnswersTwice,
    /// Alice's app is told of each end twice.
    EndsTwice,
    /// Alice's app is never told of an end.
    NeverEnds,
}

impl Mutant {
    pub const ALL: [Self; 7] = [
        Self::ForgetsBye,
        Self::ForgetsAck,
        Self::ForgetsReason,
        Self::ForgetsCancel,
        Self::AnswersTwice,
        Self::EndsTwice,
        Self::NeverEnds,
    ];

    pub fn of_page(self, page: usize, text: String) -> Option<String> {
        let forgets = match self {
            Self::ForgetsBye => page == 1 && text.starts_with("BYE "),
            Self::ForgetsAck => page == 0 && text.starts_with("ACK "),
            _ => false,
        };
        (!forgets).then_some(text)
    }

    pub fn of_server(self, text: String) -> Vec<String> {
        match self {
            Self::ForgetsCancel if text.starts_with("CANCEL ") => Vec::new(),
            Self::ForgetsReason if text.starts_with("CANCEL ") => {
                vec![text.split_inclusive("\r\n").filter(|line| !line.starts_with("Reason")).collect()]
            }
            Self::AnswersTwice if text.starts_with("SIP/2.0 603") => {
                let answer = text.replacen("603 Decline", "200 OK", 1).replacen(
                    "Content-Length: 0",
                    "Contact: <sip:x@y.invalid>\r\nContent-Length: 0",
                    1,
                );
                vec![answer, text]
            }
            _ => vec![text],
        }
    }

    pub const fn ends(self, page: usize) -> usize {
        match self {
            Self::EndsTwice if page == 0 => 2,
            Self::NeverEnds if page == 0 => 0,
            _ => 1,
        }
    }
}
