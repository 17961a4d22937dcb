//! RFC 4475: all 49 torture messages, each with its expected result.

use offhook_sip::{Abilities, Credentials, Message, Method, Name, parse};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use offhook_testing::corpora;

/// Each message is checked twice: by `check()`, which everybody calls, and for one role. 0 means "accepted", `DROP` "dropped".
const DROP: u16 = 1;

#[derive(Clone, Copy, Debug)]
enum Role {
    Uas,
    Uac,
    Registrar,
    Proxy,
}
use Role::{Proxy, Registrar, Uac, Uas};

/// File, result of `check()`, role, result for that role.
const CASES: &[(&str, u16, Role, u16)] = &[
    ("wsinv", 0, Uas, 0),
    ("intmeth", 0, Uas, 501),
    ("esc01", 0, Uas, 0),
    ("escnull", 0, Registrar, 0),
    ("esc02", 0, Uas, 501),
    ("lwsdisp", 0, Uas, 0),
    ("longreq", 0, Uas, 0),
    ("dblreq", 0, Registrar, 0),
    ("semiuri", 0, Uas, 0),
    ("transports", 0, Uas, 0),
    ("mpart01", 0, Proxy, 0),
    ("unreason", 0, Uac, 0),
    ("noreason", 0, Uac, 0),
    ("badinv01", 400, Uas, 400),
    ("clerr", 400, Uas, 400),
    ("ncl", 400, Uas, 400),
    ("scalar02", 400, Registrar, 400),
    ("scalarlg", DROP, Uac, DROP),
    ("quotbal", 400, Uas, 400),
    ("ltgtruri", 400, Uas, 400),
    ("lwsruri", 400, Uas, 400),
    ("lwsstart", 400, Uas, 400),
    ("trws", 400, Uas, 400),
    ("escruri", 400, Uas, 400),
    ("baddate", 0, Uas, 0),
    ("regbadct", 400, Registrar, 400),
    ("badaspec", 400, Uas, 400),
    ("baddn", 400, Uas, 400),
    ("badvers", 505, Uas, 505),
    ("mismatch01", 400, Uas, 400),
    ("mismatch02", 501, Uas, 501),
    ("bigcode", DROP, Uac, DROP),
    ("badbranch", 400, Uas, 400),
    ("insuf", 400, Uas, 400),
    ("unkscm", 0, Uas, 416),
    ("novelsc", 0, Uas, 416),
    ("unksm2", 0, Registrar, 400),
    ("bext01", 0, Uas, 420),
    ("invut", 0, Uas, 415),
    ("regaut01", 0, Registrar, 401),
    ("multi01", 400, Uas, 400),
    ("mcl01", 400, Uas, 400),
    ("bcast", 0, Uac, DROP),
    ("zeromf", 0, Proxy, 483),
    ("cparam01", 0, Registrar, 0),
    ("cparam02", 0, Registrar, 0),
    ("regescrt", 0, Registrar, 400),
    ("sdp01", 0, Uas, 406),
    ("inv2543", 0, Uas, 0),
];

const ABILITIES: Abilities<'static> = Abilities {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Info,
        Method::Prack,
        Method::Update,
    ],
    extensions: &["100rel"],
    bodies: &["application/sdp"],
    ..Abilities::NONE
};

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn torture_messages_come_to_what_rfc_4475_says() {
    let rows = corpora::table("rfc4475/expected.tsv");
    assert_eq!(rows.len(), CASES.len());
    for row in rows {
        let (file, action) = (row[0].as_str(), row[5].as_str());
        let case = CASES.iter().find(|case| file.strip_suffix(".dat") == Some(case.0));
        let (_, checked, role, acted) = *case.unwrap_or_else(|| panic!("{file}: no case"));
        let bytes = corpora::read(&format!("rfc4475/{file}"));
        let message = parse(bytes);
        let found = message.as_ref().map_or(DROP, |message| outcome(message, message.check().err().map(|no| no.code.as_u16())));
        assert_eq!(found, checked, "{file}: check: {:?}", message.map(|message| message.check()));
        let found = parse(bytes).map_or(DROP, |message| act(&message, role));
        assert_eq!(found, acted, "{file}: {role:?}");
        match action {
            "accept" => assert_eq!(checked, 0, "{file}"),
            "reject" => assert!(acted >= 400, "{file}"),
            "discard" => assert_eq!(acted, DROP, "{file}"),
            _ => assert!(acted == 0 || acted >= 400, "{file}"),
        }
    }
}

/// The result for a role; a few rules need more than the message, and belong to higher layers.
fn act(message: &Message<'_>, role: Role) -> u16 {
    let refused = match role {
        Uas => message.check_uas(&ABILITIES),
        Uac => message.check_uac(),
        Registrar => message.check_registrar(),
        Proxy => message.check(),
    };
    let by_role = || match role {
        // A registrar that authenticates clients, and has to know the scheme.
        Registrar => message.get(Name::Authorization).filter(|value| Credentials::parse(value).is_err()).map(|_| 401),
        Proxy => message.number(Name::MaxForwards).filter(|left| *left == 0).map(|_| 483),
        Uas | Uac => None,
    };
    outcome(message, refused.err().map(|no| no.code.as_u16()).or_else(by_role))
}

fn outcome(message: &Message<'_>, refused: Option<u16>) -> u16 {
    refused.map_or(0, |code| if message.is_request() { code } else { DROP })
}

/// Runs `test` on the parsed message.
fn with(file: &str, test: impl FnOnce(Message<'_>)) {
    test(parse(corpora::read(&format!("rfc4475/{file}.dat"))).unwrap_or_else(|error| panic!("{file}: {error}")));
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn a_tortuous_invite_is_read_in_full() {
    with("wsinv", |message| {
        assert_eq!(message.to().unwrap().uri.user, Some("vivekg"));
        assert_eq!(message.to().unwrap().tag(), Some("1918181833n"));
        assert_eq!(message.from().unwrap().display(), "J Rosenberg \\\"");
        assert_eq!(message.from().unwrap().tag(), Some("98asjd8"));
        assert_eq!(message.number(Name::MaxForwards), Some(68));
        assert_eq!((message.cseq().unwrap().number, message.cseq().unwrap().method), (9, Method::Invite));
        let vias: Vec<_> = message.all(Name::Via).map(|via| offhook_sip::Via::parse(via).unwrap()).collect();
        let read: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch())).collect();
        let expected = [
            ("UDP", "192.0.2.2", Some("390skdjuw")),
            ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
        ];
        assert_eq!(read, expected);
        let contact = message.contacts().next().unwrap().unwrap();
        assert_eq!(contact.display(), "Quoted string \"\"");
        assert_eq!((contact.params.get("newparam"), contact.params.get("q")), (Some("newvalue"), Some("0.33")));
        assert_eq!(contact.params.get("secondparam"), Some(""));
        assert_eq!(message.body.len(), 150);
    });
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn escapes_are_undone_once_and_only_in_uris() {
    with("esc01", |message| {
        let uri = message.target().unwrap().unwrap();
        assert_eq!((uri.user_text().as_ref(), uri.host), ("sips:user@example.com", "example.net"));
        assert_eq!(message.to().unwrap().uri.user_text(), "user");
        assert_eq!(message.from().unwrap().uri.user_text(), "I have spaces");
        let contact = message.contacts().next().unwrap().unwrap();
        assert_eq!(contact.uri.params.get("n%61me"), Some("v%61lue%25%34%31"));
    });
    with("esc02", |message| {
        assert_eq!(message.method(), Some(Method::from("RE%47IST%45R")));
        assert_eq!(message.to().unwrap().display(), "%Z%45");
        assert_eq!(message.contacts().count(), 2);
    });
    with("semiuri", |message| {
        assert_eq!(message.target().unwrap().unwrap().user_text(), "user;par=u@example.net");
    });
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn an_escaped_nul_does_not_cut_a_user() {
    with("escnull", |message| {
        let users: Vec<_> = message.contacts().map(|contact| contact.unwrap().uri.user_text()).collect();
        assert_eq!(users, ["\0", "\0\0"]);
        assert_eq!(message.to().unwrap().uri.user_text(), "null-\0-null");
    });
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn a_frame_is_one_message_as_long_as_it_says() {
    with("dblreq", |message| {
        assert_eq!(message.method(), Some(Method::Register));
        assert!(message.body.is_empty());
    });
    with("mpart01", |message| {
        assert_eq!(Some(message.body.len() as u32), message.number(Name::ContentLength));
        assert!(message.body.contains(&0) && message.body.ends_with(b"--\r\n"));
    });
    with("inv2543", |message| {
        assert!(message.body.starts_with(b"v=0") && message.get(Name::ContentLength).is_none());
    });
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn parameters_belong_to_the_contact_or_to_its_uri() {
    with("cparam01", |message| {
        let contact = message.contacts().next().unwrap().unwrap();
        assert_eq!((contact.params.get("unknownparam"), contact.uri.params.get("unknownparam")), (Some(""), None));
    });
    with("cparam02", |message| {
        let contact = message.contacts().next().unwrap().unwrap();
        assert_eq!((contact.params.get("unknownparam"), contact.uri.params.get("unknownparam")), (None, Some("")));
    });
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn odd_but_legal_values_are_kept() {
    with("intmeth", |message| {
        assert_eq!(message.to().unwrap().display(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
        assert_eq!(message.from().unwrap().display(), "token1~` token2'+_ token3*%!.-");
        assert_eq!(message.from().unwrap().tag(), Some("_token~1'+`*%!-."));
    });
    with("transports", |message| assert_eq!(message.all(Name::Via).count(), 5));
    with("longreq", |message| {
        assert!(message.all(Name::Via).count() > 30);
        assert!(message.fields().iter().any(|field| field.value.len() > 200));
    });
    with("bext01", |message| {
        let lacking: Vec<_> = message.unsupported(&["100rel"]).collect();
        assert_eq!(lacking, ["nothingSupportsThis", "nothingSupportsThisEither"]);
    });
}
