//! What is done to sound, in virtual time: networks that lose, delay, reorder and repeat, by seed; and what a listener would hear.

#[path = "sound/codecs.rs"]
mod codecs;
#[path = "sound/copies.rs"]
mod copies;
#[path = "sound/keys.rs"]
mod keys;
#[path = "sound/network.rs"]
mod network;
#[path = "sound/prompts.rs"]
mod prompts;
#[path = "sound/streams.rs"]
mod streams;
#[path = "media/tone.rs"]
mod tone;
