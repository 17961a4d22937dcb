//! Destinations that may be called. Every country is closed until the operator names it. In an open country, number ranges that are known to be
//! expensive, and are therefore used for toll fraud, stay closed until they are named themselves.
//!
//! `allow = ["1", "44"]` opens the United States, Canada and the United Kingdom, but neither Jamaica (`1876`) nor premium numbers (`449`);
//! `allow = ["1", "1876"]` opens Jamaica too.

use thiserror::Error;

use super::Number;

/// Country codes of one and two digits (ITU-T E.164); all others have three.
const SHORT: &[&str] = &[
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90", "91", "92",
    "93", "94", "95", "98",
];

/// Country codes of three digits: the first two, and the last digits that are assigned (to countries, satellites and services).
const LONG: &[(&str, &str)] = &[
    ("21", "12368"),
    ("22", "0123456789"),
    ("23", "0123456789"),
    ("24", "0123456789"),
    ("25", "012345678"),
    ("26", "0123456789"),
    ("29", "01789"),
    ("35", "0123456789"),
    ("37", "012345678"),
    ("38", "01235679"),
    ("42", "013"),
    ("50", "0123456789"),
    ("59", "0123456789"),
    ("67", "023456789"),
    ("68", "012356789"),
    ("69", "012"),
    ("80", "08"),
    ("85", "02356"),
    ("87", "08"),
    ("88", "012368"),
    ("96", "012345678"),
    ("97", "012345679"),
    ("99", "1234568"),
];

/// Expensive ranges, which the code of their country does not open; `?` is any digit.
const EXPENSIVE: &[&str] = &[
    // North American numbers outside the United States and Canada, and regions that carriers bill separately.
    "1242", "1246", "1264", "1268", "1284", "1340", "1345", "1441", "1473", "1649", "1658", "1664", "1670", "1671", "1684", "1721",
    "1758", "1767", "1784", "1787", "1809", "1829", "1849", "1867", "1868", "1869", "1876", "1939",
    // Regions that share the code of another country: Kazakhstan, Abkhazia, Channel Islands and Man, Northern Cyprus, Mayotte, Antarctica and
    // Norfolk Island, Svalbard, Cocos and Christmas Islands, Guantánamo, Western Sahara.
    "76", "77", "7840", "7940", "441481", "441534", "441624", "447509", "447624", "447700", "447781", "447797", "447829", "447839",
    "447911", "447924", "447937", "90392", "90533", "90542", "262269", "262639", "6721", "6723", "4779", "6189162", "6189164",
    "5399", "212528", // Satellites and ships.
    "870", "881", "882", "883", "1600", "1622", "61145", "61147", "7954", "88213", "88216",
    // International shared-cost, personal and premium numbers; 991 and 888 are trial and network codes.
    "808", "878", "888", "979", "991", // Premium, personal and shared-cost numbers: zone 1.
    "1900", "1???976", "1456", "1500", "1521", "1522", "1523", "1524", "1525", "1526", "1527", "1528", "1529", "1533", "1544",
    "1566", "1577", "1588", "1700", "1710", // Zone 2.
    "20900", "212898", "21680", "21681", "21682", "21688", "24889", "26289", "2786", "2790", // Zone 3.
    "30801", "3090", "3118", "31676", "3184", "3187", "3190", "3270", "3277", "3278", "3290", "33118", "3381", "3382", "3389",
    "34118", "34803", "34806", "34807", "34901", "34902", "34905", "34907", "35089", "351601", "351607", "351646", "351648",
    "35170", "35176", "35490", "3559", "3565", "3577", "35790", "35810", "35820", "358300", "35860", "35870", "35871", "35873",
    "35875", "35990", "3640", "3690", "3691", "3709", "3718", "37190", "37270", "37290", "37390", "37490", "375602", "375902",
    "3774", "3787", "380703", "380900", "38190", "38294", "38560", "38561", "38564", "38565", "38569", "38649", "38690", "3879",
    "3895", "39144", "39163", "39164", "39166", "39178", "39199", "3984", "39892", "39893", "39894", "39895", "39899",
    // Zone 4.
    "40900", "40903", "40906", "4184", "41878", "4190", "420900", "420906", "420908", "420909", "42097", "421900", "42197", "4237",
    "4239", "43810", "43820", "43821", "43828", "4390", "4393", "44118", "4470", "4476", "4484", "4487", "449", "4590", "46900",
    "46939", "46944", "4674", "4677", "4699", "4781", "4782", "48300", "48400", "4870", "48801", "49118", "49137", "49138",
    "49180", "49188", "4919", "49700", "49900", // Zone 5.
    "51805", "51808", "52900", "54600", "54609", "55300", "55500", "55900", "56600", "57900", "58900", "59089", "59489", "59689",
    // Zone 6.
    "60600", "6113", "6118", "6119", "62809", "64900", "651900", "661900", // Zones 7 and 8.
    "7803", "7805", "7806", "7807", "7808", "7809", "81570", "81990", "8260", "82700", "841900", "852900", "886204",
    // Zone 9.
    "90888", "90898", "90900", "911860", "911900", "92900", "966700", "968900", "971600", "971700", "971900", "9721", "973900",
    "974900", "994900",
];

/// Returns the country code that `digits` begin with.
pub(super) fn country_code(digits: &str) -> Option<&str> {
    let short = [1, 2].into_iter().filter_map(|length| digits.get(..length)).find(|code| SHORT.contains(code));
    short.or_else(|| {
        let (code, last) = (digits.get(..3)?, digits.as_bytes().get(2)?);
        let (_, assigned) = LONG.iter().find(|(first, _)| code.starts_with(first))?;
        (last.is_ascii_digit() && assigned.as_bytes().contains(last)).then_some(code)
    })
}

/// The open prefixes, as configured; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Openings(Vec<String>);

/// Whether a number may be called, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may be called.
    Open,
    /// Its country is closed.
    Country,
    /// Its country is open, but it is in an expensive range that is closed.
    Range,
}

/// A configured prefix names no country. The operator is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("has {0:?}, which names no country: write the digits of a country code, such as \"46\", or of a range in one")]
pub struct OpeningsError(String);

impl Openings {
    /// Opens `prefixes`: digits, with or without a plus.
    ///
    /// # Errors
    ///
    /// Where one does not begin with a complete country code: `"2"` would open most of Africa.
    pub fn new<T: AsRef<str>>(prefixes: &[T]) -> Result<Self, OpeningsError> {
        let digits = |text: &T| {
            let digits = text.as_ref().strip_prefix('+').unwrap_or(text.as_ref());
            let whole = digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 15 && country_code(digits).is_some();
            if whole { Ok(digits.to_owned()) } else { Err(OpeningsError(text.as_ref().to_owned())) }
        };
        prefixes.iter().map(digits).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether `number` may be called.
    #[must_use]
    pub fn of(&self, number: &Number) -> Opening {
        let digits = number.digits();
        let Some(named) = self.0.iter().filter(|prefix| digits.starts_with(prefix.as_str())).map(String::len).max() else {
            return Opening::Country;
        };
        let expensive = EXPENSIVE.iter().filter(|range| covers(range, digits)).map(|range| range.len()).max();
        if expensive.is_none_or(|expensive| named >= expensive) { Opening::Open } else { Opening::Range }
    }
}

fn covers(range: &str, digits: &str) -> bool {
    range.len() <= digits.len() && range.bytes().zip(digits.bytes()).all(|(range, digit)| range == b'?' || range == digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Countries that operators are likely to open, each of which has expensive ranges.
    const OPEN: &[&str] = &[
        "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "52",
        "53", "55", "60", "61", "62", "64", "65", "66", "81", "82", "84", "90", "91", "92", "212", "216", "262", "351", "352",
        "354", "357", "358", "359", "370", "371", "372", "373", "375", "380", "385", "386", "420", "421", "852", "966", "971",
        "972", "974",
    ];

    /// Prefixes of two hundred numbers that are used for toll fraud; other digits complete them.
    const FRAUD: &str = "1242327 1246228 1264497 1268460 1284494 1340774 1345949 1441292 1473440 1649946 1658555 1664491 1670234 1671646 \
        1684633 1721542 1758452 1767448 1784456 1787555 1809555 1829555 1849555 1867873 1868622 1869465 1876926 1876555 1876371 1939555 \
        1809201 1473405 1900555 1900234 1212976 1415976 1310976 1456555 1500555 1521555 1522555 1533555 1544555 1566555 1577555 1588555 \
        1700555 1710555 1600555 1622555 870773 870776 870600 881631 881641 881651 881661 881693 881842 882130 882160 882165 882340 882399 \
        882475 882991 883120 883510 883513 883140 878101 808123 888123 979123 979012 991001 61145123 61147123 795412 7840226 7940112 \
        7701234 7717123 7727123 76771234 780912 7809505 780312 441481712 441534712 441624612 447781101 447797712 447829712 447839112 \
        447911123 447924412 447937712 447700312 447624412 447012345 447071234 447061234 447611234 448451234 448701234 448711234 449051234 \
        449061234 449091234 449831234 44118500 46900123 469391234 469441234 469912345 467712345 46741234 459012345 478201234 47815001 \
        4779021 358600123 358700123 358201234 35810123 354900123 33899123 33892123 33825123 33118218 34803123 34806123 34807123 34905123 \
        34118 39899123 39892123 39895123 39199123 39178123 39166123 39144123 31900123 31906123 31909123 31871234 32902123 32905123 32909123 \
        327012345 41900123 41901123 41906123 41842123 43900123 43930123 43820123 49900123 49137123 49190123 49180123 49700123 49118331 \
        48300123 48701123 48709123 420900123 420906123 420976123 421900123 36901234 36911234 40900123 40906123 30901123 30909123 90900123 \
        90888123 903928151 905338123 905428123 380900123 37190123 3709001 37290012 373901234 375902123 38560123 38690123 35990123 35790012 \
        35170712 351601123 6119001 6113001 64900123 651900123 661900123 81990123 81570123 8260700 82700123 841900123 852900123 911900123 \
        92900123 971900123 9721900123 966700123 974900123 20900123 2786212 2790123 212898123 21688123 262269612 262639612 26289012 539912 \
        55900123 55300123 52900123 60600123 62809123 6189162 6189164 67211234";

    #[test]
    fn two_hundred_numbers_of_toll_fraud_stay_closed_though_their_countries_are_open() {
        let open = Openings::new(OPEN).expect("countries");
        let beginnings: Vec<&str> = FRAUD.split_whitespace().collect();
        assert!(beginnings.len() >= 200, "{}", beginnings.len());
        for beginning in beginnings {
            let number = Number::parse(&format!("+{beginning:4<11}")).expect(beginning);
            assert_eq!(Openings::default().of(&number), Opening::Country, "{number}: nothing is open by default");
            assert_ne!(open.of(&number), Opening::Open, "{number}");
            let named = Openings::new(&[&number.digits()[..number.digits().len() - 1]]).expect("a range");
            assert_eq!(named.of(&number), Opening::Open, "{number}: it was named");
        }
    }

    #[test]
    fn ordinary_numbers_in_open_countries_may_be_called() {
        let open = Openings::new(OPEN).expect("countries");
        for text in [
            "+14155550101",
            "+12125550101",
            "+15035550101",
            "+15105550101",
            "+18005550101",
            "+442079460123",
            "+447400123456",
            "+441134960123",
            "+46701234567",
            "+46812345678",
            "+4915112345678",
            "+493012345678",
            "+33123456789",
            "+33612345678",
            "+390612345678",
            "+393331234567",
            "+34612345678",
            "+34912345678",
            "+31612345678",
            "+31201234567",
            "+3292345678",
            "+3281234567",
            "+41791234567",
            "+431234567890",
            "+4522123456",
            "+4740123456",
            "+48501234567",
            "+358401234567",
            "+35891234567",
            "+61291234567",
            "+61891234567",
            "+61412345678",
            "+6491234567",
            "+819012345678",
            "+82212345678",
            "+85291234567",
            "+919812345678",
            "+5511912345678",
            "+27821234567",
            "+79161234567",
            "+74951234567",
            "+380501234567",
            "+37121234567",
            "+3727312345",
            "+421905123456",
        ] {
            assert_eq!(open.of(&Number::parse(text).expect(text)), Opening::Open, "{text}");
        }
    }

    #[test]
    fn a_range_opens_when_it_is_named_and_no_other_does() {
        let open = Openings::new(&["+1", "1876"]).expect("prefixes");
        assert_eq!(open.of(&number("+18765550101")), Opening::Open);
        assert_eq!(open.of(&number("+12425550101")), Opening::Range);
        assert_eq!(open.of(&number("+442079460123")), Opening::Country);
    }

    #[test]
    fn a_prefix_that_is_no_country_is_refused() {
        for text in ["2", "", "+", "21", "999", "4a", "00", "12345678901234567"] {
            assert!(Openings::new(&[text]).is_err(), "{text}");
        }
    }

    fn number(text: &str) -> Number {
        Number::parse(text).expect("a number")
    }
}
