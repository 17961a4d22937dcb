//! Transcoding in virtual time, over seeded networks that lose, delay, reorder and duplicate packets; and the quality for a
//! listener.

mod codecs;
mod copies;
mod dtmf;
mod network;
mod prompts;
mod streams;
