//! What is done to sound, in virtual time: networks that lose, delay, reorder and repeat, by seed; and what a listener would hear.

mod codecs;
mod copies;
mod keys;
mod network;
mod prompts;
mod streams;
