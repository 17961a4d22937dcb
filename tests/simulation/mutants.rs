//! Clients and servers that are wrong on purpose: a simulator that lets them pass is worth nothing.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Bob's page forgets to say BYE.
    ForgetsBye,
    /// Alice's page forgets to acknowledge.
    ForgetsAck,
    /// The server forgets why it cancels.
    ForgetsReason,
    /// The server forgets to cancel.
    ForgetsCancel,
    /// The server says that somebody answered after it said that nobody does.
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
