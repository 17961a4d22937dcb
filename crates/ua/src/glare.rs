//! Glare: offers that cross (RFC 3261, 14.1 and 14.2). One at a time is answered in a dialog, and each end offers again after a time of its own.

use std::time::Duration;

use offhook_sip::StatusCode;

use crate::random::Random;
use crate::uas::Refusal;

/// Returns the rejection of an offer that comes while another one waits for its answer: 500 with Retry-After where that is a remote one, too
/// (`theirs`; 14.2); 491 where it is one of ours (14.1).
#[must_use]
pub fn refusal(theirs: bool, random: &mut Random) -> Refusal<'static> {
    if !theirs {
        return Refusal::Status(StatusCode::REQUEST_PENDING);
    }
    Refusal::RetryAfter(StatusCode::SERVER_INTERNAL_ERROR, u32::try_from(random.below(11)).unwrap_or(0))
}

/// Returns how long to wait before an offer is made again that was rejected with 491: 2.1 to 4 s where this end has created the Call-ID of the
/// dialog, up to 2 s where the other one has (14.1).
pub fn wait(made_call_id: bool, random: &mut Random) -> Duration {
    // In units of 10 ms.
    Duration::from_millis(10 * if made_call_id { 210 + random.below(191) } else { random.below(201) })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_two_ends_never_wait_as_long() {
        let mut random = Random::new([1; 32]);
        let mut drawn = |made| (0..1_000).map(|_| wait(made, &mut random).as_millis()).collect::<Vec<_>>();
        let (ours, theirs) = (drawn(true), drawn(false));
        assert!(ours.iter().all(|wait| (2_100..=4_000).contains(wait) && wait % 10 == 0));
        assert!(theirs.iter().all(|wait| *wait <= 2_000 && wait % 10 == 0));
        assert!([&ours, &theirs].iter().all(|waits| waits.iter().max() > waits.iter().min()));
    }

    #[test]
    fn only_the_second_offer_of_one_end_is_told_when_to_come_back() {
        let mut random = Random::new([1; 32]);
        assert_eq!(refusal(false, &mut random), Refusal::Status(StatusCode::REQUEST_PENDING));
        let mut seconds = Vec::new();
        for _ in 0..1_000 {
            match refusal(true, &mut random) {
                Refusal::RetryAfter(StatusCode::SERVER_INTERNAL_ERROR, after) => seconds.push(after),
                other => panic!("{other:?}"),
            }
        }
        seconds.sort_unstable();
        seconds.dedup();
        assert_eq!(seconds, (0..=10).collect::<Vec<_>>());
    }
}
