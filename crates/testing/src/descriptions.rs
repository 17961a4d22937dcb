//! Descriptions with parts that are not supported here, or unusual: all readers of descriptions have to accept them.

/// Returns unusual forms of the description `base`, which has one audio line, each with its name.
#[must_use]
pub fn odd_forms(base: &str) -> Vec<(&'static str, String)> {
    let lines = |edit: &dyn Fn(&str) -> Option<String>| {
        base.lines().map(|line| edit(line).unwrap_or_else(|| line.to_owned()) + "\r\n").collect::<String>()
    };
    let instead = |start: &str, new: &str| lines(&|line| line.starts_with(start).then(|| new.to_owned()));
    let before = |start: &str, new: &str| lines(&|line| line.starts_with(start).then(|| format!("{new}\r\n{line}")));
    vec![
        ("a host name for an address", instead("c=", "c=IN IP4 media.example.com")),
        ("ids of more than 64 bits", instead("o=", "o=- 99999999999999999999999 88888888888888888888888 IN IP4 192.0.2.1")),
        ("a user name with an address", instead("o=", "o=alice@example.com 1 1 IN IP6 2001:db8::1")),
        ("an empty name", instead("s=", "s=")),
        ("times of nobody's clock", instead("t=", "t=99999999999999999999999 0")),
        ("a key of RFC 2327", before("m=", "k=clear:secret")),
        ("a key at the sound", base.to_owned() + "k=prompt\r\n"),
        ("a bandwidth that is no number", before("t=", "b=X-YZ:much") + "b=AS:many\r\n"),
        ("information, addresses and zones", before("t=", "i=a talk\r\nu=http://example.com\r\ne=a@b\r\np=+46\r\nz=0 much")),
        ("unknown attributes", base.to_owned() + "a=x-frob\r\na=x-frob:1 2 3\r\na=T38FaxRateManagement:transferredTCF\r\n"),
        ("unknown lines", base.to_owned() + "y=1\r\n"),
    ]
}

/// Returns [`odd_forms`], and forms with further media lines, which only an offer may have.
///
/// # Panics
///
/// Where `base` has no media line.
#[must_use]
pub fn odd_offers(base: &str) -> Vec<(&'static str, String)> {
    let (session, audio) = base.split_at(base.find("m=").expect("a media line"));
    let fax = "m=image 5000 udptl t38\r\nc=IN IP4 192.0.2.1\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n";
    let chat = "m=message 7394 TCP/MSRP *\r\na=accept-types:text/plain\r\n";
    let mut all = odd_forms(base);
    all.extend([
        ("a fax after the sound", [base, fax].concat()),
        ("a fax before the sound", [session, fax, audio].concat()),
        ("a fax that is off", [base, &fax.replace("5000", "0")].concat()),
        ("a chat", [base, chat].concat()),
        ("a second sound", [base, "m=audio 4002 RTP/AVP 96\r\na=rtpmap:96 speex/8000\r\n"].concat()),
    ]);
    all
}

/// An offer of a fax only.
pub const FAX: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=image 5000 udptl t38\r\n";

/// Returns the media lines of a description: media type and port.
#[must_use]
pub fn media_lines<'a>(sdp: &'a str) -> Vec<(&'a str, &'a str)> {
    let of_line = |line: &'a str| {
        let mut words = line.strip_prefix("m=")?.split(' ');
        Some((words.next()?, words.next()?))
    };
    sdp.lines().filter_map(of_line).collect()
}
