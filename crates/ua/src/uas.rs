//! Responses of a user agent server (RFC 3261, section 8.2): the tag that each carries, and the fields that each rejection must carry.

use offhook_sip::{Abilities, Message, Method, Name, StatusCode, Writer, reply, reply_as};

use crate::session_timer::MIN_SE;

/// Begins a response to `request`. Each but a 100 gets a tag where To has none: the same in all responses to one request (RFC 3261, 8.2.6.2).
#[must_use]
pub fn answer(request: &Message<'_>, code: StatusCode, tag: &str) -> Writer {
    reply(request, code, (code != StatusCode::TRYING).then_some(tag))
}

/// Checks an in-dialog request as [`Message::check_uas`] does, and the package and body of an INFO (RFC 6086, 4.2.2): what it asks for has to be
/// among `can`. A BYE ends its dialog whatever it asks for. Methods that are not served are not checked: [`Abilities::unserved`].
///
/// # Errors
///
/// The status that the request is rejected with.
pub fn check_in_dialog(request: &Message<'_>, can: &Abilities<'_>) -> Result<(), StatusCode> {
    let Some(method) = request.method().filter(|method| *method != Method::Bye && can.methods.contains(method)) else {
        return Ok(());
    };
    request.check_uas(can).map_err(|rejection| rejection.code)?;
    let knows = |package: &str| can.packages.iter().any(|known| known.eq_ignore_ascii_case(package));
    if method != Method::Info {
        Ok(())
    } else if !request.get(Name::InfoPackage).is_none_or(knows) {
        Err(StatusCode::BAD_INFO_PACKAGE)
    } else if !request.can_be_read_as(can.info_bodies) {
        Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    } else {
        Ok(())
    }
}

/// Why a request is rejected. There is no 421, as no extension is demanded of others, and no 489: there are no event packages, so that SUBSCRIBE
/// and NOTIFY are methods that are not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// With this status. What it has to list comes from the abilities of the element that rejects.
    Status(StatusCode),
    /// With this status, and when to try again, s (RFC 3261, 20.33).
    RetryAfter(StatusCode, u32),
    /// A registration for less than so many seconds: 423 (RFC 3261, 21.4.17).
    IntervalTooBrief(u32),
    /// An extension in Proxy-Require, of which none is supported: 420 (RFC 3261, 16.3).
    ProxyExtension,
    /// No credentials, or wrong ones: 401 with these challenges (RFC 3261, 22.2).
    Unauthorized(&'a [String]),
    /// The same of a proxy: 407 (RFC 3261, 22.3).
    ProxyUnauthorized(&'a [String]),
}

impl Refusal<'_> {
    /// The status.
    #[must_use]
    pub const fn code(&self) -> StatusCode {
        match self {
            Self::Status(code) | Self::RetryAfter(code, _) => *code,
            Self::IntervalTooBrief(_) => StatusCode::INTERVAL_TOO_BRIEF,
            Self::ProxyExtension => StatusCode::BAD_EXTENSION,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::ProxyUnauthorized(_) => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        }
    }

    /// Begins the response that rejects `request`, of an element with the abilities `can`. It carries the fields that its status demands:
    ///
    /// | status | field | RFC |
    /// |---|---|---|
    /// | 401, 407 | WWW-Authenticate, Proxy-Authenticate | 3261, 22.2 and 22.3 |
    /// | 405, 501 | Allow | 3261, 21.4.6 |
    /// | 415 | Accept, and Accept-Encoding where the body is encoded | 3261, 21.4.13 |
    /// | 420 | Unsupported | 3261, 21.4.15 |
    /// | 422 | Min-SE | 4028, 6 |
    /// | 423 | Min-Expires | 3261, 21.4.17 |
    /// | 469 | Recv-Info | 6086, 4.2.2 |
    #[must_use]
    pub fn answer(&self, request: &Message<'_>, tag: &str, can: &Abilities<'_>) -> Writer {
        self.answer_as(request, self.code().reason(), tag, can)
    }

    /// [`Refusal::answer`] with a reason phrase of its own.
    #[must_use]
    pub fn answer_as(&self, request: &Message<'_>, phrase: &str, tag: &str, can: &Abilities<'_>) -> Writer {
        let answer = reply_as(request, (self.code(), phrase), Some(tag));
        let challenge = |answer: Writer, name: Name, challenges: &[String]| {
            challenges.iter().fold(answer, |answer, challenge| answer.field(name.as_str(), challenge))
        };
        match *self {
            Self::Status(code) => demanded(request, code, answer, can),
            Self::RetryAfter(code, seconds) => demanded(request, code, answer, can).number(Name::RetryAfter.as_str(), seconds),
            Self::IntervalTooBrief(seconds) => answer.number(Name::MinExpires.as_str(), seconds),
            Self::ProxyExtension => list(answer, Name::Unsupported, &request.all(Name::ProxyRequire).collect::<Vec<_>>()),
            Self::Unauthorized(challenges) => challenge(answer, Name::WwwAuthenticate, challenges),
            Self::ProxyUnauthorized(challenges) => challenge(answer, Name::ProxyAuthenticate, challenges),
        }
    }
}

fn demanded(request: &Message<'_>, code: StatusCode, answer: Writer, can: &Abilities<'_>) -> Writer {
    match code {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => answer.field(Name::Allow.as_str(), &can.allow()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let bodies = if request.method() == Some(Method::Info) { can.info_bodies } else { can.bodies };
            let answer = list(answer, Name::Accept, bodies);
            if request.get_other("Content-Encoding").or_else(|| request.get_other("e")).is_some() {
                return answer.field("Accept-Encoding", "identity");
            }
            answer
        }
        StatusCode::BAD_EXTENSION => list(answer, Name::Unsupported, &request.unsupported(can.extensions).collect::<Vec<_>>()),
        StatusCode::SESSION_INTERVAL_TOO_SMALL => answer.number(Name::MinSe.as_str(), MIN_SE),
        StatusCode::BAD_INFO_PACKAGE => list(answer, Name::RecvInfo, can.packages),
        _ => answer,
    }
}

fn list(answer: Writer, name: Name, items: &[&str]) -> Writer {
    if items.is_empty() { answer } else { answer.field(name.as_str(), &items.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_sip::parse_text;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CAN: Abilities<'static> = Abilities {
        methods: &[Method::Invite, Method::Ack],
        extensions: &["100rel", "timer"],
        bodies: &["application/sdp"],
        info_bodies: &["application/dtmf"],
        packages: &["trickle-ice"],
    };

    /// The fields of a rejection beside those that each response has.
    fn said(refusal: Refusal<'_>, method: &str, more: &str) -> String {
        let text = format!(
            "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\n\
             CSeq: 1 {method}\r\n{more}\r\n"
        );
        let request = parse_text(&text).expect("a request");
        let answer = refusal.answer(&request, "ours", &CAN).end();
        assert!(answer.starts_with(&format!("SIP/2.0 {} ", refusal.code())), "{answer}");
        assert!(answer.contains("To: <sip:a@b>;tag=ours\r\n"), "{answer}");
        let usual = ["SIP/2.0", "Via:", "From:", "To:", "Call-ID:", "CSeq:", "Content-Length:"];
        let lines = answer.lines().filter(|line| !line.is_empty() && !usual.iter().any(|start| line.starts_with(start)));
        lines.collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn each_status_carries_what_it_has_to() {
        use Refusal::{IntervalTooBrief, ProxyExtension, ProxyUnauthorized, RetryAfter, Unauthorized};
        let status = |code| Refusal::Status(StatusCode::new(code).expect("a status"));
        let challenges = ["Digest realm=\"a\"".to_owned(), "Bearer realm=\"a\"".to_owned()];
        for (refusal, method, more, expected) in [
            (status(405), "REFER", "", "Allow: INVITE, ACK"),
            (status(501), "FROB", "", "Allow: INVITE, ACK"),
            (status(415), "INVITE", "Content-Type: text/plain\r\n", "Accept: application/sdp"),
            (status(415), "INVITE", "e: gzip\r\n", "Accept: application/sdp | Accept-Encoding: identity"),
            (status(415), "INFO", "", "Accept: application/dtmf"),
            (status(420), "INVITE", "Require: timer, frob\r\nRequire: x\r\n", "Unsupported: frob, x"),
            (ProxyExtension, "INVITE", "Proxy-Require: frob\r\nRequire: x\r\n", "Unsupported: frob"),
            (status(422), "INVITE", "", "Min-SE: 90"),
            (IntervalTooBrief(60), "REGISTER", "", "Min-Expires: 60"),
            (status(469), "INFO", "", "Recv-Info: trickle-ice"),
            (RetryAfter(StatusCode::SERVICE_UNAVAILABLE, 5), "INVITE", "", "Retry-After: 5"),
            (
                Unauthorized(&challenges),
                "REGISTER",
                "",
                "WWW-Authenticate: Digest realm=\"a\" | WWW-Authenticate: Bearer realm=\"a\"",
            ),
            (ProxyUnauthorized(&challenges[..1]), "INVITE", "", "Proxy-Authenticate: Digest realm=\"a\""),
            (status(486), "INVITE", "", ""),
        ] {
            assert_eq!(said(refusal, method, more), expected, "{refusal:?}");
        }
    }

    #[test]
    fn an_in_dialog_request_may_ask_for_what_is_there() {
        for (method, more, body, code) in [
            ("INVITE", "", "", 200),
            ("INVITE", "Content-Type: application/sdp; charset=x\r\n", "v=0", 200),
            ("INVITE", "Content-Type: text/plain\r\n", "hello", 415),
            ("INVITE", "Require: timer\r\n", "", 200),
            ("INVITE", "Require: frob\r\n", "", 420),
            ("INVITE", "Accept: text/plain\r\n", "", 406),
            ("ACK", "Require: frob\r\n", "", 200),
            ("BYE", "Require: frob\r\nContent-Type: text/plain\r\n", "hello", 200),
            ("INFO", "", "", 200),
            ("INFO", "Info-Package: Trickle-ICE\r\n", "", 200),
            ("INFO", "Info-Package: frob\r\n", "", 469),
            ("INFO", "Require: frob\r\nInfo-Package: frob\r\n", "", 420),
            ("INFO", "Content-Type: application/dtmf\r\n", "5", 200),
            ("INFO", "Content-Type: text/plain\r\n", "5", 415),
            ("INFO", "", "5", 415),
            ("FROB", "Require: frob\r\n", "", 200),
            ("INVITE", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v=0", 415),
            ("INVITE", "Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n", "hello", 200),
            (
                "INVITE",
                "Content-Type: multipart/mixed;boundary=x\r\n",
                "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--",
                200,
            ),
            ("INVITE", "Content-Type: multipart/mixed;boundary=x\r\n", "--x\r\n\r\nhello\r\n--x--", 415),
            (
                "INFO",
                "Content-Type: multipart/mixed;boundary=x\r\n",
                "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--",
                415,
            ),
        ] {
            let text = format!(
                "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
                 Call-ID: 1\r\nCSeq: 1 {method}\r\n{more}\r\n{body}"
            );
            let request = parse_text(&text).expect("a request");
            let methods = [Method::Invite, Method::Ack, Method::Bye, Method::Info];
            let checked = check_in_dialog(&request, &Abilities { methods: &methods, ..CAN });
            assert_eq!(checked.err().map_or(200, StatusCode::as_u16), code, "{text}");
        }
    }

    #[test]
    fn an_answer_has_a_tag_and_trying_has_none() {
        let text = "OPTIONS sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n";
        let request = parse_text(text).expect("a request");
        assert!(answer(&request, StatusCode::OK, "t").end().contains("To: <sip:a@b>;tag=t\r\n"));
        assert!(answer(&request, StatusCode::TRYING, "t").end().contains("To: <sip:a@b>\r\n"));
        let inside = text.replace("<sip:a@b>\r\n", "<sip:a@b>;tag=first\r\n");
        let request = parse_text(&inside).expect("a request");
        assert!(answer(&request, StatusCode::OK, "t").end().contains("To: <sip:a@b>;tag=first\r\n"));
    }
}
