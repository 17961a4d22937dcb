//! Tariffs: a price for a minute, billed in increments. All arithmetic of reservations and charges is here, in integral micro-units.
//!
//! A call of `d` seconds is billed as `minimum + n × increment` seconds, with the smallest `n` that covers it (`30/6`: at least 30 seconds, then
//! in steps of six). Its price is `fee + per_minute × seconds / 60`, rounded up once. Both increase with `d`.

use std::time::Duration;

use thiserror::Error;

use super::Micros;

/// Seconds that each reservation adds.
pub const STRETCH: u64 = 60;

/// Longer than any call, s; durations are capped at it.
const FOREVER: u64 = 100_000_000;

/// The price of calls to one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// The price of 60 seconds.
    pub per_minute: Micros,
    /// The shortest time that an answered call is billed, s.
    pub minimum: u32,
    /// The increment after that, s.
    pub increment: u32,
    /// The fee for each answered call.
    pub fee: Micros,
}

/// Why a tariff is rejected. The operator is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TariffError {
    /// Below 0 or over 1,000 units.
    #[error("a price is 0 to 1000")]
    Price,
    /// The minimum is over an hour, or the increment is not 1 second to an hour.
    #[error("the minimum is 0 to 3600 seconds, the increment 1 to 3600")]
    Steps,
}

impl Tariff {
    /// Checks that all values are within their ranges.
    ///
    /// # Errors
    ///
    /// Where a price or a step is out of its range.
    pub fn check(&self) -> Result<(), TariffError> {
        let price = 0..=1_000_000_000;
        if !price.contains(&self.per_minute) || !price.contains(&self.fee) {
            return Err(TariffError::Price);
        }
        if self.minimum > 3_600 || !(1..=3_600).contains(&self.increment) {
            return Err(TariffError::Steps);
        }
        Ok(())
    }

    /// Returns the billed seconds of a call of this duration.
    #[must_use]
    pub fn billed(&self, duration: Duration) -> u64 {
        let (minimum, increment) = self.steps();
        let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).min(FOREVER);
        minimum + seconds.saturating_sub(minimum).div_ceil(increment) * increment
    }

    /// Returns the price of billed seconds.
    #[must_use]
    pub fn price(&self, seconds: u64) -> Micros {
        let seconds = Micros::try_from(seconds.min(2 * FOREVER)).unwrap_or(Micros::MAX);
        let sixtieths = self.per_minute.saturating_mul(seconds);
        self.fee.saturating_add(sixtieths / 60 + Micros::from(sixtieths % 60 != 0))
    }

    /// Reserves the first [`STRETCH`] from `budget`, or as much as it covers; `None` where it does not cover the first increment.
    #[must_use]
    pub fn reserve(&self, budget: Micros) -> Option<Reservation> {
        if self.per_minute == 0 {
            return (self.fee <= budget).then_some(Reservation { tariff: *self, paid: None, reserved: self.fee });
        }
        let (minimum, increment) = self.steps();
        let first = if minimum == 0 { increment } else { minimum };
        let paid = self.affordable(budget, first.max(self.billed(Duration::from_secs(STRETCH)))).filter(|paid| *paid >= first)?;
        Some(Reservation { tariff: *self, paid: Some(paid), reserved: self.price(paid) })
    }

    /// Returns the largest number of billed seconds, up to `wanted`, that `budget` covers.
    fn affordable(&self, budget: Micros, wanted: u64) -> Option<u64> {
        let (minimum, increment) = self.steps();
        // fee + ⌈p × s / 60⌉ ≤ b is p × s ≤ 60 × (b − fee), because b is an integer.
        let rest = budget.checked_sub(self.fee).filter(|rest| *rest >= 0)?;
        let most = u64::try_from(rest.saturating_mul(60) / self.per_minute.max(1)).ok()?.min(wanted);
        Some(minimum + most.checked_sub(minimum)? / increment * increment)
    }

    fn steps(&self) -> (u64, u64) {
        (u64::from(self.minimum), u64::from(self.increment.max(1)))
    }
}

/// The money reserved for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The tariff at the beginning of the call, which holds until its end.
    pub tariff: Tariff,
    /// The billed seconds that it covers; `None`: any number, because minutes are free.
    pub paid: Option<u64>,
    /// The amount that is taken from the credit.
    pub reserved: Micros,
}

/// The charge for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// The billed seconds.
    pub seconds: u64,
    /// Their price.
    pub price: Micros,
}

impl Reservation {
    /// Returns the reservation with one [`STRETCH`] more from `budget`, or with as much as it covers; unchanged where that is nothing.
    #[must_use]
    pub fn extend(&self, budget: Micros) -> Self {
        let Some(paid) = self.paid else { return *self };
        let wanted = self.tariff.billed(Duration::from_secs(paid + STRETCH));
        let more = self.tariff.affordable(budget.saturating_add(self.reserved), wanted).filter(|more| *more > paid);
        more.map_or(*self, |more| Self { paid: Some(more), reserved: self.tariff.price(more), ..*self })
    }

    /// Returns the charge for an answered call of this duration: never more than was reserved, so a call that ends a moment late is not
    /// charged for it.
    #[must_use]
    pub fn charge(&self, duration: Duration) -> Charge {
        let billed = self.tariff.billed(duration);
        let seconds = self.paid.map_or(billed, |paid| billed.min(paid));
        Charge { seconds, price: self.tariff.price(seconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn tariff(per_minute: Micros, minimum: u32, increment: u32) -> Tariff {
        Tariff { per_minute, minimum, increment, fee: 0 }
    }

    #[test]
    fn a_call_is_billed_in_steps() {
        let half_minute = tariff(120_000, 30, 6);
        for (millis, seconds) in [(0, 30), (1, 30), (30_000, 30), (30_001, 36), (36_000, 36), (36_001, 42)] {
            assert_eq!(half_minute.billed(Duration::from_millis(millis)), seconds, "{millis}");
        }
        let by_second = tariff(120_000, 0, 1);
        for (millis, seconds) in [(0, 0), (1, 1), (1_000, 1), (59_999, 60)] {
            assert_eq!(by_second.billed(Duration::from_millis(millis)), seconds, "{millis}");
        }
    }

    #[test]
    fn a_price_is_rounded_up_once() {
        assert_eq!(tariff(100_000, 0, 1).price(1), 1_667);
        assert_eq!(tariff(100_000, 0, 1).price(60), 100_000);
        assert_eq!(Tariff { fee: 50, ..tariff(1, 0, 1) }.price(1), 51);
        assert_eq!(tariff(0, 0, 1).price(3_600), 0);
    }

    #[test]
    fn what_the_credit_allows_is_reserved() {
        let rate = tariff(60_000, 30, 6);
        assert_eq!(rate.reserve(29_999), None);
        assert_eq!(rate.reserve(30_000).and_then(|r| r.paid), Some(30));
        assert_eq!(rate.reserve(41_999).and_then(|r| r.paid), Some(36));
        assert_eq!(rate.reserve(1_000_000).and_then(|r| r.paid), Some(60));
        let first = rate.reserve(1_000_000).expect("enough");
        assert_eq!(first.extend(0), first);
        assert_eq!(first.extend(6_000).paid, Some(66));
        assert_eq!(first.extend(1_000_000).paid, Some(120));
    }

    #[test]
    fn free_calls_need_no_credit_and_never_end() {
        let free = tariff(0, 60, 60).reserve(0).expect("free");
        assert_eq!((free.paid, free.reserved, free.charge(Duration::MAX).price), (None, 0, 0));
        let flat = Tariff { fee: 100, ..tariff(0, 0, 1) };
        assert_eq!(flat.reserve(99), None);
        assert_eq!(flat.reserve(100).map(|r| r.charge(Duration::from_secs(86400)).price), Some(100));
    }

    #[test]
    fn tariffs_out_of_range_are_refused() {
        assert_eq!(tariff(-1, 0, 1).check(), Err(TariffError::Price));
        assert_eq!(tariff(1_000_000_001, 0, 1).check(), Err(TariffError::Price));
        assert_eq!(Tariff { fee: -1, ..tariff(0, 0, 1) }.check(), Err(TariffError::Price));
        assert_eq!(tariff(0, 0, 0).check(), Err(TariffError::Steps));
        assert_eq!(tariff(0, 3_601, 1).check(), Err(TariffError::Steps));
        assert_eq!(tariff(1_000_000_000, 3_600, 3_600).check(), Ok(()));
    }

    prop_compose! {
        fn any_tariff()(per_minute in 0..=1_000_000_000i64, minimum in 0..=3_600u32, increment in 1..=3_600u32, fee in 0..=1_000_000i64)
            -> Tariff {
            Tariff { per_minute, minimum, increment, fee }
        }
    }

    proptest! {
        #[test]
        fn a_longer_call_never_costs_less(tariff in any_tariff(), a in 0..10_000_000u64, b in 0..10_000_000u64) {
            let (short, long) = (Duration::from_millis(a.min(b)), Duration::from_millis(a.max(b)));
            prop_assert!(tariff.price(tariff.billed(short)) <= tariff.price(tariff.billed(long)));
            prop_assert!(Duration::from_secs(tariff.billed(long)) >= long);
        }

        #[test]
        fn what_is_reserved_is_within_the_budget_and_is_all_that_can_be_charged(
            tariff in any_tariff(),
            budget in 0..=super::super::MOST,
            more in prop::collection::vec(0..=100_000_000i64, 0..20),
            millis in any::<u64>(),
        ) {
            let Some(mut reservation) = tariff.reserve(budget) else {
                let first = if tariff.minimum == 0 { tariff.increment } else { tariff.minimum };
                prop_assert!(tariff.price(u64::from(first)) > budget);
                return Ok(());
            };
            prop_assert!((0..=budget).contains(&reservation.reserved));
            for budget in more {
                let next = reservation.extend(budget);
                prop_assert!(next.reserved - reservation.reserved <= budget);
                prop_assert!(next.reserved >= reservation.reserved && next.paid >= reservation.paid);
                reservation = next;
            }
            let charge = reservation.charge(Duration::from_millis(millis));
            prop_assert!((0..=reservation.reserved).contains(&charge.price));
            prop_assert_eq!(charge.price, tariff.price(charge.seconds));
        }

        #[test]
        fn a_call_within_what_is_paid_pays_exactly_its_time(tariff in any_tariff(), budget in 0..=super::super::MOST, part in 0.0..=1.0f64) {
            if let Some(reservation @ Reservation { paid: Some(paid), .. }) = tariff.reserve(budget) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a part of it")]
                let duration = Duration::from_millis((paid as f64 * 1_000.0 * part) as u64);
                prop_assert_eq!(reservation.charge(duration).seconds, tariff.billed(duration));
            }
        }

        #[test]
        fn as_much_as_the_budget_allows_is_reserved(tariff in any_tariff(), budget in 0..=super::super::MOST) {
            if let Some(Reservation { paid: Some(paid), .. }) = tariff.reserve(budget) {
                let full = paid >= tariff.billed(Duration::from_secs(STRETCH));
                prop_assert!(full || tariff.price(paid + u64::from(tariff.increment)) > budget);
            }
        }
    }
}
