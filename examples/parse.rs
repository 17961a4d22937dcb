//! A reader of SIP in ten lines: `cargo run --example parse`.

use offhook_sip::{ParseError, parse};

/// What is read here: a call from Alice to Bob.
pub const MESSAGE: &str = "INVITE sip:bob@example.com SIP/2.0\r\n\
    Via: SIP/2.0/WS c1.invalid;branch=z9hG4bK776asdhds\r\nMax-Forwards: 70\r\n\
    From: \"Alice, of sales\" <sip:alice@example.com>;tag=1928301774\r\nt: <sip:bob@example.com>\r\n\
    Call-ID: a84b4c76e66710\r\nCSeq: 314159 INVITE\r\nContact: <sip:alice@c1.invalid;transport=ws>\r\n\
    Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";

fn main() {
    match describe(MESSAGE.as_bytes()) {
        Ok(text) => print!("{text}"),
        Err(error) => eprintln!("This is not SIP: {error}"),
    }
}

/// What a request says, a line for each thing: who calls whom, with what.
///
/// # Errors
///
/// Where the octets are not a SIP message, or From or To cannot be read.
pub fn describe(octets: &[u8]) -> Result<String, ParseError> {
    let message = parse(octets)?;
    let (from, to) = (message.from()?, message.to()?);
    let mut text = format!("{:?}\n", message.start);
    text += &format!("{} ({}) to {}\n", from.display(), from.uri_text, to.uri.user_text());
    for field in message.fields() {
        text += &format!("{}: {}\n", field.name.as_str(), field.value);
    }
    text += &format!("{} octets of SDP: {}\n", message.body.len(), message.content_is("application/sdp"));
    text += &format!("acceptable: {:?}\n", message.check());
    Ok(text)
}
