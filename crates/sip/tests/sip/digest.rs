//! Digest authentication against published vectors, and a client against a server.

use offhook_sip::{Algorithm, Challenge, Credentials, Method, ha1, strongest};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
use offhook_testing::corpora;

/// Algorithms of pages; servers have more.
#[cfg(not(target_arch = "wasm32"))]
#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn all_vectors_of_the_corpus_match() {
    let vectors = objects(std::str::from_utf8(corpora::read("digest/vectors.json")).unwrap());
    assert_eq!(vectors.len(), 22);
    for vector in &vectors {
        let at = |key: &str| vector.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", algorithm={}",
            at("username"),
            at("realm"),
            at("nonce"),
            at("uri"),
            at("response"),
            at("algorithm")
        );
        if !at("qop").is_empty() {
            value += &format!(", qop={}, nc={}, cnonce=\"{}\"", at("qop"), at("nc"), at("cnonce"));
        }
        let credentials = Credentials::parse(&value).unwrap();
        let secret = ha1(credentials.algorithm, at("username"), at("realm"), at("password"));
        let wrong = ha1(credentials.algorithm, at("username"), at("realm"), "another");
        assert!(credentials.matches_body(&secret, Method::from(at("method")), at("body")), "{value}");
        assert!(!credentials.matches_body(&wrong, Method::from(at("method")), at("body")), "{value}");
        assert!(!credentials.matches_body(&secret, Method::Bye, at("body")), "{value}");
        assert_eq!(credentials.matches(&secret, Method::from(at("method"))), at("qop") != "auth-int", "{value}");
        if at("qop") != "auth-int" {
            assert!(answer(&credentials, at("method"), &secret).contains(&format!("response=\"{}\"", at("response"))));
        }
    }
}

/// The response that this crate computes for the values of the vector.
#[cfg(not(target_arch = "wasm32"))]
fn answer(vector: &Credentials<'_>, method: &str, secret: &str) -> String {
    let challenge = Challenge {
        realm: vector.realm.to_string(),
        nonce: vector.nonce.to_string(),
        opaque: None,
        algorithm: vector.algorithm,
        qop_auth: vector.qop == "auth",
        stale: false,
    };
    challenge.answer(&vector.username, secret, Method::from(method), &vector.uri, &vector.cnonce, vector.count())
}

/// Parses the flat objects of a JSON array: names and strings.
#[cfg(not(target_arch = "wasm32"))]
fn objects(json: &str) -> Vec<Vec<(String, String)>> {
    let entry = |line: &str| {
        let (name, value) = line.trim().trim_end_matches(',').split_once(": ")?;
        let value = value.trim_matches('"').replace("\\r", "\r").replace("\\n", "\n").replace("\\\"", "\"");
        Some((name.trim_matches('"').to_owned(), value))
    };
    json.split('{').skip(1).map(|object| object.lines().filter_map(entry).collect()).collect()
}

/// RFC 7616, 3.9.1: both challenges, and the answers to each.
const CHALLENGES: [&str; 2] = [
    "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
    "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
];

#[test]
fn a_client_answers_as_in_rfc_7616() {
    let responses = ["8ca523f5e9506fed4657c9700eebdbec", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"];
    for (challenge, response) in CHALLENGES.into_iter().zip(responses) {
        let challenge = Challenge::parse(challenge).unwrap();
        let secret = ha1(challenge.algorithm, "Mufasa", &challenge.realm, "Circle of Life");
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let value = challenge.answer("Mufasa", &secret, Method::from("GET"), "/dir/index.html", cnonce, 1);
        let credentials = Credentials::parse(&value).unwrap();
        assert_eq!(credentials.response, response);
        assert_eq!((credentials.count(), credentials.qop.as_ref()), (1, "auth"));
        assert_eq!(credentials.opaque.as_deref(), challenge.opaque.as_deref());
        assert!(credentials.matches(&secret, Method::from("GET")) && !credentials.matches(&secret, Method::from("PUT")));
    }
}

#[test]
fn the_strongest_challenge_that_is_known_is_taken() {
    let unknown = ["Bearer realm=\"x\"", "Digest realm=\"x\", nonce=\"y\", algorithm=FUTURE", "Digest nonce=\"y\"", ""];
    let int = "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-256, qop=\"auth-int\"";
    let [md5, sha] = CHALLENGES;
    let taken = |values: &[&'static str]| strongest(values.iter().copied()).map(|challenge| challenge.algorithm);
    assert_eq!(taken(&[md5, sha]), Some(Algorithm::Sha256));
    assert_eq!(taken(&[sha, md5]), Some(Algorithm::Sha256));
    assert_eq!(taken(&[unknown[0], unknown[1], md5, unknown[2], unknown[3], int]), Some(Algorithm::Md5));
    assert_eq!(taken(&unknown), None);
    let first = Challenge::parse(sha).unwrap();
    let second = sha.replace("7ypf", "other");
    assert_eq!(strongest([sha, second.as_str()].into_iter()), Some(first));
}

#[test]
fn an_answer_is_accepted_by_the_server_that_asked() {
    for algorithm in [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256, Algorithm::Sha256Sess] {
        for qop_auth in [false, true] {
            let challenge = Challenge {
                realm: "quo\"ted\\realm".into(),
                nonce: "n1".into(),
                opaque: Some("o=,1".into()),
                algorithm,
                qop_auth,
                stale: qop_auth,
            };
            assert_eq!(Challenge::parse(&challenge.to_value()).as_ref(), Ok(&challenge));
            let secret = ha1(algorithm, "J\"ä", &challenge.realm, "pa:ss");
            let value = challenge.answer("J\"ä", &secret, Method::Register, "sip:example.com", "c0", 0x1f);
            let credentials = Credentials::parse(&value).unwrap();
            assert_eq!((credentials.username.as_ref(), credentials.opaque.as_deref()), ("J\"ä", Some("o=,1")));
            assert_eq!(credentials.count(), if qop_auth { 0x1f } else { 0 });
            assert!(credentials.matches(&secret, Method::Register), "{value}");
            assert!(!credentials.matches(&secret, Method::Invite), "{value}");
            assert!(!credentials.matches(&"0".repeat(secret.len()), Method::Register), "{value}");
        }
    }
}

#[test]
fn a_cut_or_padded_response_does_not_match() {
    let challenge = Challenge::parse(CHALLENGES[1]).unwrap();
    let secret = ha1(challenge.algorithm, "u", &challenge.realm, "p");
    let value = challenge.answer("u", &secret, Method::Invite, "sip:a@b", "c", 1);
    let right = Credentials::parse(&value).unwrap();
    for response in ["", &right.response[..63], &format!("{}0", right.response)] {
        let wrong = Credentials { response: response.into(), ..right.clone() };
        assert!(!wrong.matches(&secret, Method::Invite));
    }
}

#[test]
fn a_value_that_could_not_be_sent_back_is_no_value() {
    for nonce in ["a\0b", "a\r\n b"] {
        assert!(Challenge::parse(&format!("Digest realm=\"r\", nonce=\"{nonce}\"")).is_err());
    }
}
