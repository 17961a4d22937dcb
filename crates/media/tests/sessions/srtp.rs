//! An independent implementation of RFC 3711 (AES_CM_128_HMAC_SHA1_80).

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};

/// Returns an encrypted packet for a master key and salt at this rollover counter.
pub fn srtp(key: &[u8], packet: &[u8], rollover: u32) -> Vec<u8> {
    let cipher = |key: &[u8]| EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).expect("a key")).expect("counter mode");
    let stream = |key: &[u8], iv: [u8; 16], data: &mut [u8]| {
        let context = EncryptionContext::Iv128(aws_lc_rs::iv::FixedLength::from(iv));
        cipher(key).less_safe_encrypt(data, context).expect("counter mode");
    };
    let derive = |label: u8, length: usize| {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&key[16..30]);
        iv[7] ^= label;
        let mut out = vec![0; length];
        stream(&key[..16], iv, &mut out);
        out
    };
    let (session, tag, salt) = (derive(0, 16), derive(1, 20), derive(2, 14));
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&salt);
    (0..4).for_each(|at| iv[4 + at] ^= packet[8 + at]);
    (0..4).for_each(|at| iv[8 + at] ^= rollover.to_be_bytes()[at]);
    (0..2).for_each(|at| iv[12 + at] ^= packet[2 + at]);
    let mut out = packet.to_vec();
    stream(&session, iv, &mut out[12..]);
    let mut signed = out.clone();
    signed.extend(rollover.to_be_bytes());
    let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag), &signed);
    out.extend_from_slice(&tag.as_ref()[..10]);
    out
}
