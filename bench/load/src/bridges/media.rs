//! The gateway's media as a program: bridges the calls that standard input names, one a line.

use std::sync::Arc;

use offhook_gateway::config;
use offhook_gateway::server::clock::Clock;
use offhook_gateway::server::media::Media;
use offhook_media::{Codec, Command, Event, Leg, MediaError, PeerSettings, Security, SessionId};
use tokio::sync::mpsc::UnboundedReceiver;

use super::relay::{Bridged, Request};
use crate::trial::Failure;

/// Bridges until standard input ends.
///
/// # Errors
///
/// Where sockets cannot be had, or a line is no request.
pub async fn run() -> Result<(), Failure> {
    let settings = config::Media { sessions: 10_000, ports: "20000-29999".into(), ..config::Media::default() };
    let (media, mut events) = Media::start(&settings, &Arc::new(Clock::default()))?;
    // The media have threads of their own: they do not mind that this one waits.
    for line in std::io::stdin().lines() {
        let bridged = bridge(&media, &mut events, serde_json::from_str(&line?)?).await;
        println!("{}", serde_json::to_string(&bridged)?);
    }
    Ok(())
}

async fn bridge(media: &Media, events: &mut UnboundedReceiver<Event>, request: Request) -> Result<Bridged, String> {
    let session = SessionId(request.call);
    let (codecs, security, signalling) = (vec![Codec::Pcmu], Security::None, Vec::new());
    let peer = PeerSettings { codecs, security, address: None, nat: false, signalling, eager: true, info: false };
    media.command(Command::Open { session, call: String::new(), peer });
    media.command(Command::Offered { session, leg: Leg::Page, sdp: request.page });
    let page = said(events).await?;
    media.command(Command::Offer { session, leg: Leg::Peer });
    let phone = said(events).await?;
    media.command(Command::Answered { session, leg: Leg::Peer, sdp: request.phone });
    Ok(Bridged { page, phone })
}

/// The next SDP; what else happens is of calls before.
async fn said(events: &mut UnboundedReceiver<Event>) -> Result<String, String> {
    let why = |error: MediaError| format!("{error:?}");
    loop {
        match events.recv().await {
            Some(Event::Answer { sdp, .. } | Event::Offer { sdp, .. }) => return sdp.map_err(why),
            Some(Event::Failed { error, .. }) => return Err(why(error)),
            Some(_) => {}
            None => return Err("the media have ended".into()),
        }
    }
}
