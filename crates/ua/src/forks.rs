//! The forks of one INVITE at its UAC (RFC 3261, 13.2.2.4): each has a dialog of its own, known by its To tag.
//!
//! ```text
//! INVITE ──┬── 1xx, tag a ──▶ early ── 2xx, the first one ──▶ the dialog of the call
//!          ├── 1xx, tag b ──▶ early ── 2xx, too late ──▶ ACK and BYE, by the user agent
//!          └── 2xx, tag c, with no 1xx before it: as any other
//! ```
//!
//! Whether a 2xx is the first one, or too late because the call was hung up, is decided by the user of this module.

use offhook_sip::Message;

use crate::dialog::Dialog;

/// The most early dialogs of one INVITE: more than any user has devices.
const LIMIT: usize = 32;

/// One fork: its dialog, and the state that the user of this module keeps for it.
pub trait Fork {
    /// The dialog.
    fn dialog(&mut self) -> &mut Dialog;
}

/// Returns the fork of a provisional response, created by the first response with its To tag. `None` where the response makes no dialog, or
/// there are too many.
pub fn early<'a, F: Fork>(forks: &'a mut Vec<F>, response: &Message<'_>, create: impl FnOnce(Dialog) -> F) -> Option<&'a mut F> {
    let tag = response.to_tag()?;
    let at = match forks.iter_mut().position(|fork| fork.dialog().remote_tag == tag) {
        Some(known) => known,
        None => {
            let dialog = Dialog::of_caller(response).filter(|_| forks.len() < LIMIT)?;
            forks.push(create(dialog));
            forks.len() - 1
        }
    };
    forks.get_mut(at)
}

/// Takes the fork that a 2xx makes final out of the early ones, or creates it. `None` where the response makes no dialog.
pub fn confirmed<F: Fork>(forks: &mut Vec<F>, response: &Message<'_>, create: impl FnOnce(Dialog) -> F) -> Option<F> {
    let tag = response.to_tag()?;
    let known = forks.iter_mut().position(|fork| fork.dialog().remote_tag == tag && !fork.dialog().confirmed);
    let mut fork = match known {
        Some(at) => forks.remove(at),
        None => create(Dialog::of_caller(response)?),
    };
    fork.dialog().refresh(response);
    Some(fork)
}

#[cfg(test)]
mod tests {
    use offhook_sip::OwnedMessage;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn each_to_tag_has_its_early_dialog() {
        let mut forks = Vec::new();
        for (tag, known) in [("a", 1), ("b", 2), ("a", 2)] {
            let fork = early(&mut forks, response(180, tag).get(), create).expect("a fork");
            assert_eq!((fork.0.remote_tag.as_str(), fork.0.confirmed), (tag, false));
            assert_eq!(forks.len(), known);
        }
    }

    #[test]
    fn early_dialogs_are_bounded() {
        let mut forks = Vec::new();
        for number in 0..100 {
            early(&mut forks, response(180, &format!("t{number}")).get(), create);
        }
        assert_eq!(forks.len(), LIMIT);
        assert!(confirmed(&mut forks, response(200, "t99").get(), create).is_some(), "a 2xx is never too much");
    }

    #[test]
    fn a_2xx_takes_its_dialog_out_and_leaves_the_others() {
        let mut forks = Vec::new();
        early(&mut forks, response(180, "a").get(), create);
        early(&mut forks, response(180, "b").get(), create);
        let won = confirmed(&mut forks, response(200, "b").get(), create).expect("a fork");
        assert!(won.0.confirmed && won.0.remote_tag == "b");
        assert_eq!(forks.iter().map(|fork| &*fork.0.remote_tag).collect::<Vec<_>>(), ["a"]);
    }

    struct Early(Dialog);

    impl Fork for Early {
        fn dialog(&mut self) -> &mut Dialog {
            &mut self.0
        }
    }

    fn create(dialog: Dialog) -> Early {
        Early(dialog)
    }

    fn response(code: u16, tag: &str) -> OwnedMessage {
        let text = format!(
            "SIP/2.0 {code} x\r\nVia: SIP/2.0/WS x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>;tag={tag}\r\nCall-ID: 1\r\n\
             CSeq: 5 INVITE\r\nContact: <sip:a@e>\r\n\r\n"
        );
        OwnedMessage::parse(text).expect("a response")
    }
}
