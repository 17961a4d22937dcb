//! Hash functions for digest authentication (RFC 8760) and for tickets.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Returns the SHA-256 hash (FIPS 180-4, 6.2).
#[must_use]
pub fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Returns the HMAC-SHA-256 code (RFC 2104).
#[must_use]
pub fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Returns the MD5 hash (RFC 1321), for servers that support nothing better.
#[must_use]
pub fn md5(text: &[u8]) -> [u8; 16] {
    Md5::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::{hmac, md5, sha256};
    use crate::text::hex;

    /// Examples of NIST for FIPS 180-4.
    #[test]
    fn sha256_has_the_values_of_nist() {
        for (text, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(hex(&sha256(text.as_bytes())), expected, "{text}");
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
