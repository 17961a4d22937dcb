//! Bodies of one part and of several (RFC 2046, 5.1; RFC 5621).

use offhook_sip::parse;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const SDP: &str = "Content-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n";
const ISUP: &str =
    "Content-Type: application/ISUP;version=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\x02\r\n\x03\r\n";
const PLACE: &str = "Content-Type: application/pidf+xml\r\nContent-ID: <a@b>\r\n\r\n<presence/>\r\n";

fn message(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("INVITE sip:a@b SIP/2.0\r\nCall-ID: c\r\n{head}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The description in the body, and whether the body is understood by who reads descriptions.
fn read(head: &str, body: &[u8]) -> (Option<String>, bool) {
    let message = message(head, body);
    let message = parse(&message).expect("a message");
    (message.description().map(str::to_owned), message.can_be_read_as(&["application/sdp"]))
}

fn mixed(parts: &[&str]) -> (Option<String>, bool) {
    read("Content-Type: multipart/mixed;boundary=b1\r\n", joined("b1", parts).as_bytes())
}

fn joined(boundary: &str, parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| format!("--{boundary}\r\n{part}")).collect();
    format!("{}--{boundary}--\r\n", parts.concat())
}

fn found() -> (Option<String>, bool) {
    (Some("v=0\r\ns=-\r\n".to_owned()), true)
}

#[test]
fn the_description_is_found_among_the_parts() {
    assert_eq!(mixed(&[SDP]), found());
    assert_eq!(mixed(&[ISUP, SDP]), found());
    assert_eq!(mixed(&[SDP, ISUP, PLACE]), found());
    assert_eq!(mixed(&[PLACE, SDP, &SDP.replace("s=-", "s=second")]), found(), "the first one");
    assert_eq!(mixed(&[&format!("{SDP}\r\n")]), found(), "the line end of its last line, and that of the boundary");
    assert_eq!(mixed(&[&SDP.replace("Content-Type: ", "c:\r\n\t")]), found(), "a compact name and a folded line");
    assert_eq!(mixed(&[&SDP.replace("sdp", "SDP;charset=utf-8")]), found());
    assert_eq!(
        mixed(&[&SDP.replace("\r\n\r\n", "\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: session\r\n\r\n")]),
        found()
    );
    let nested = format!("Content-Type: multipart/alternative; boundary=\"b1 in\"\r\n\r\n{}", joined("b1 in", &[PLACE, SDP]));
    assert_eq!(mixed(&[ISUP, &nested]), found(), "a multipart in a multipart");
}

#[test]
fn a_multipart_is_read_however_it_is_written() {
    let body = joined("b1", &[ISUP, SDP]);
    for head in [
        "Content-Type: multipart/mixed;boundary=b1\r\n",
        "c: Multipart/Mixed ; charset=x; Boundary = \"b1\"\r\n",
        "Content-Type: multipart/mixed;\r\n boundary=\"b\\1\"\r\n",
        "Content-Type: multipart/related;type=\"application/sdp\";boundary=b1\r\n",
    ] {
        assert_eq!(read(head, body.as_bytes()), found(), "{head}");
    }
    let mixed = "Content-Type: multipart/mixed;boundary=b1\r\n";
    let around = format!("This is a preamble.\r\n--b1x\r\n {body}--b1\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n")
        .replace(" --b1\r\n", "--b1 \t\r\n");
    assert_eq!(read(mixed, around.as_bytes()), found(), "preamble, blanks after the boundary, epilogue");
    assert_eq!(read(mixed, body.trim_end().as_bytes()), found(), "no line end at the end");
    assert_eq!(read(mixed, body.replace("\r\n", "\n").as_bytes()).0.as_deref(), Some("v=0\ns=-\n"), "bare line ends");
    let binary = [b"--b1\r\nContent-Type: application/ISUP\r\n\r\n\x01\xff\xc3\r\n", body.as_bytes()].concat();
    assert_eq!(read(mixed, &binary), found(), "octets that are no text");
    let odd = joined("=_Part(1)/2:3?", &[SDP]);
    assert_eq!(read("Content-Type: multipart/mixed;boundary==_Part(1)/2:3?\r\n", odd.as_bytes()), found());
}

#[test]
fn what_cannot_be_read_is_told_from_what_need_not_be() {
    let nothing = |understood| (None, understood);
    let optional = "Content-Disposition: render;handling=optional\r\n";
    let required = PLACE.replace("\r\n\r\n", "\r\nContent-Disposition: render; Handling=\"Required\"\r\n\r\n");
    assert_eq!(mixed(&[PLACE]), nothing(false));
    assert_eq!(mixed(&[ISUP]), nothing(true));
    assert_eq!(mixed(&[ISUP, PLACE]), nothing(false));
    assert_eq!(mixed(&[]), nothing(false));
    assert_eq!(mixed(&[SDP, &required]), (found().0, false));
    let inner = |parts: &[&str], kind, disposition| {
        format!("Content-Type: multipart/{kind};boundary=b2\r\n{disposition}\r\n{}", joined("b2", parts))
    };
    assert_eq!(mixed(&[&inner(&[&required], "mixed", optional), SDP]), found(), "in a part that is optional");
    assert_eq!(mixed(&[&inner(&[&required, SDP], "alternative", "")]), found(), "one of two alternatives");
    for fields in [
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Encoding: gzip\r\n",
        "Content-Disposition: early-session\r\n",
        "no field\r\n",
    ] {
        assert_eq!(mixed(&[&format!("{fields}{SDP}")]), nothing(false), "{fields}");
    }
    assert_eq!(mixed(&[&SDP.replace("\r\n\r\n", "\r\n")]), nothing(false), "a part without a blank line");
    assert_eq!(mixed(&[&SDP.replace("Content-Type: application/sdp\r\n", "")]), nothing(false), "a part without a type is text");
    for (head, understood) in [
        ("", false),
        ("Content-Type: text/plain\r\n", false),
        ("Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n", true),
        ("Content-Type: multipart/mixed\r\n", false),
        ("Content-Type: multipart/mixed;boundary=\"\"\r\n", false),
        ("Content-Type: multipart/mixed;boundary=other\r\n", false),
        ("Content-Type: multipart/mixed;boundary=b1\r\nContent-Encoding: gzip\r\n", false),
    ] {
        assert_eq!(read(head, joined("b1", &[SDP]).as_bytes()), nothing(understood), "{head}");
    }
    let cut = joined("b1", &[SDP]).replace("--b1--\r\n", "");
    assert_eq!(read("Content-Type: multipart/mixed;boundary=b1\r\n", cut.as_bytes()), nothing(false), "a part without its end");
    assert_eq!(read("Content-Type: application/sdp\r\n", b"v=0\r\ns=\xff\r\n"), nothing(false), "a description that is no text");
    assert_eq!(read("", b""), nothing(true));
}

#[test]
fn many_and_deep_parts_end() {
    let mut text = SDP.to_owned();
    for depth in 0..200 {
        text = format!("Content-Type: multipart/mixed;boundary=b{depth}\r\n\r\n{}", joined(&format!("b{depth}"), &[&text]));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert_eq!(read(&format!("{head}\r\n"), body.as_bytes()), if depth < 4 { found() } else { (None, false) }, "{depth}");
    }
    assert_eq!(mixed(&[PLACE; 31].into_iter().chain([SDP]).collect::<Vec<_>>()), found());
    assert_eq!(mixed(&[PLACE; 32].into_iter().chain([SDP]).collect::<Vec<_>>()), (None, false));
}
