//! Recorded announcements as packets of 20 ms for each codec, encoded once in a process, so that playing them costs no encoding.

use std::sync::OnceLock;

use super::SoundError;
use super::codec::{Decoder, Encoder, rate_into};
use crate::{Codec, Prompt};

/// The recordings, made by scripts/build-prompts.
static CONNECTED: &[u8] = include_bytes!("../../prompts/connected.opus");

const FRAME_MS: usize = 20;

/// Returns the packets of an announcement, 20 ms each; none where libopus cannot be initialised.
#[must_use]
pub fn recording(prompt: Prompt, codec: Codec) -> &'static [Vec<u8>] {
    static MADE: [OnceLock<Vec<Vec<u8>>>; 4] = [const { OnceLock::new() }; 4];
    let Prompt::Connected = prompt;
    let made = match codec {
        Codec::Opus => 0,
        Codec::G722 => 1,
        Codec::Pcma => 2,
        Codec::Pcmu => 3,
    };
    MADE[made].get_or_init(|| make(CONNECTED, codec).unwrap_or_default())
}

fn make(file: &[u8], codec: Codec) -> Result<Vec<Vec<u8>>, SoundError> {
    // The first packets of an Opus stream are its header (RFC 7845, 3).
    let spoken = packets(file).into_iter().skip(2);
    if codec == Codec::Opus {
        return Ok(spoken.collect());
    }
    let rate = rate_into(Codec::Opus, codec);
    let (mut decoder, mut encoder) = (Decoder::new(Codec::Opus, rate)?, Encoder::new(codec, rate)?);
    let (mut pcm, mut out) = (Vec::new(), Vec::new());
    Ok(spoken
        .map(|packet| {
            pcm.clear();
            decoder.decode(&packet, FRAME_MS * rate as usize / 1000, &mut pcm);
            encoder.encode(&pcm, &mut out);
            out.clone()
        })
        .collect())
}

/// Returns the packets of an Ogg stream (RFC 3533, 6): each page has a table of segments, and a segment shorter than 255 octets
/// ends a packet. The files are part of the program, so a malformed page just ends the stream.
fn packets(mut ogg: &[u8]) -> Vec<Vec<u8>> {
    const HEADER: usize = 27;
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    while let Some((header, rest)) = ogg.split_at_checked(HEADER).filter(|(header, _)| header.starts_with(b"OggS")) {
        let Some((table, mut data)) = rest.split_at_checked(usize::from(header[HEADER - 1])) else { break };
        for length in table {
            let Some((segment, after)) = data.split_at_checked(usize::from(*length)) else { return packets };
            packet.extend_from_slice(segment);
            data = after;
            if *length < u8::MAX {
                packets.push(std::mem::take(&mut packet));
            }
        }
        ogg = data;
    }
    packets
}
