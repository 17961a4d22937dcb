//! Methods of requests (RFC 3261, 7.1).

use core::fmt;

macro_rules! methods {
    ($($name:ident $text:literal $source:literal,)*) => {
        /// The method of a request. Methods are case-sensitive (RFC 3261, 7.1): `invite` is an extension method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Method<'a> {
            $(#[doc = concat!("`", $text, "` (", $source, ").")] $name,)*
            /// An extension method, as it was written: a token.
            Other(&'a str),
        }

        impl Method<'_> {
            /// The fourteen methods that the IANA has registered.
            pub const REGISTERED: &'static [Method<'static>] = &[$(Method::$name,)*];

            /// This method, if it is one of [`Method::REGISTERED`]; `None` for an extension method.
            #[must_use]
            pub const fn registered(self) -> Option<Method<'static>> {
                match self {
                    $(Self::$name => Some(Method::$name),)*
                    Self::Other(_) => None,
                }
            }
        }

        impl<'a> Method<'a> {
            /// The method as it is written in a request line.
            #[must_use]
            pub const fn as_str(self) -> &'a str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl<'a> From<&'a str> for Method<'a> {
            fn from(name: &'a str) -> Self {
                match name {
                    $($text => Self::$name,)*
                    _ => Self::Other(name),
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261",
    Ack "ACK" "RFC 3261",
    Bye "BYE" "RFC 3261",
    Cancel "CANCEL" "RFC 3261",
    Options "OPTIONS" "RFC 3261",
    Register "REGISTER" "RFC 3261",
    Info "INFO" "RFC 6086",
    Prack "PRACK" "RFC 3262",
    Update "UPDATE" "RFC 3311",
    Message "MESSAGE" "RFC 3428",
    Notify "NOTIFY" "RFC 6665",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Refer "REFER" "RFC 3515",
    Publish "PUBLISH" "RFC 3903",
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn registered_methods_are_known_by_their_names_and_extension_methods_keep_theirs() {
        for method in Method::REGISTERED {
            assert_eq!(Method::from(method.as_str()), *method);
            assert_eq!(method.registered(), Some(*method));
        }
        for name in ["invite", "Invite", "INVITE ", "NEWMETHOD", ""] {
            assert_eq!(Method::from(name), Method::Other(name));
            assert_eq!((Method::from(name).as_str(), Method::from(name).registered()), (name, None));
        }
    }
}
