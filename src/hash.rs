//! SHA-256, HMAC over it, and MD5, of texts that are there as a whole. What the crates have around their compression, for texts that come in
//! pieces, is twice the code, and every page pays for it; their MD5 is unrolled, too.

use sha2::block_api::compress256;

/// SHA-256 (FIPS 180-4, 6.2).
#[must_use]
pub fn sha256(text: &[u8]) -> [u8; 32] {
    let mut state = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    compress256(&mut state, padded(text, u64::to_be_bytes).as_chunks().0);
    let mut digest = [0; 32];
    for (at, octet) in digest.iter_mut().enumerate() {
        *octet = state[at / 4].to_be_bytes()[at % 4];
    }
    digest
}

/// HMAC-SHA-256 (RFC 2104).
#[must_use]
pub fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let hashed = sha256(key);
    let key = if key.len() > 64 { &hashed } else { key };
    let keyed = |pad: u8, text: &[u8]| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        let mut whole = block.to_vec();
        whole.extend_from_slice(text);
        sha256(&whole)
    };
    keyed(0x5c, &keyed(0x36, text))
}

/// MD5 (RFC 1321): for servers that have nothing better.
#[must_use]
pub fn md5(text: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded(text, u64::to_le_bytes).as_chunks().0 {
        compress(&mut state, block);
    }
    let mut digest = [0; 16];
    for (at, octet) in digest.iter_mut().enumerate() {
        *octet = state[at / 4].to_le_bytes()[at % 4];
    }
    digest
}

/// A text as both take it: whole blocks, with its length in bits at the end.
fn padded(text: &[u8], length: fn(u64) -> [u8; 8]) -> Vec<u8> {
    let mut padded = Vec::with_capacity(text.len() + 72);
    padded.extend_from_slice(text);
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&length(8 * text.len() as u64));
    padded
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the integer part of a number between 0 and 2^32")]
fn compress(state: &mut [u32; 4], block: &[u8; 64]) {
    // Of the number of the step, from 1: each from the one before, as a turn by one radian. What they err by in 64 turns is far from what
    // the integer part would show.
    const FIRST: (f64, f64) = (0.841_470_984_807_896_5, 0.540_302_305_868_139_8);
    let (mut sine, mut cosine) = FIRST;
    let [mut a, mut b, mut c, mut d] = *state;
    for at in 0..64 {
        let (mixed, word) = match at / 16 {
            0 => (b & c | !b & d, at),
            1 => (d & b | !d & c, 5 * at + 1),
            2 => (b ^ c ^ d, 3 * at + 5),
            _ => (c ^ (b | !d), 7 * at),
        };
        let word = u32::from_le_bytes(block.as_chunks().0[word % 16]);
        let sum = a.wrapping_add(mixed).wrapping_add((sine.abs() * 4_294_967_296.0) as u32).wrapping_add(word);
        (sine, cosine) = (sine * FIRST.1 + cosine * FIRST.0, cosine * FIRST.1 - sine * FIRST.0);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(TURNS[at / 16][at % 4].into())));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

/// How far the steps of each round turn.
const TURNS: [[u8; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::{hmac, md5, sha256};
    use crate::text::hex;

    #[test]
    fn sha256_is_that_of_the_crate_for_every_length_of_padding() {
        for length in 0..200 {
            let text = vec![b'a'; length];
            assert_eq!(sha256(&text), <[u8; 32]>::from(Sha256::digest(&text)), "{length}");
        }
    }

    /// RFC 4231, 4.2, 4.3 and 4.7.
    #[test]
    fn hmac_has_the_values_of_rfc_4231() {
        let cases: [(&[u8], &str, &str); 3] = [
            (&[0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                &[0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            assert_eq!(hex(&hmac(key, text.as_bytes())), expected);
        }
    }

    /// RFC 1321, A.5.
    #[test]
    fn md5_has_the_values_of_rfc_1321() {
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
            (&"1234567890".repeat(8), "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(hex(&md5(text.as_bytes())), expected, "{text}");
        }
    }
}
