//! DTLS for pages, by dimpl, as in str0m itself. But dimpl tests its cryptography, with a key exchange of each kind, whenever a
//! configuration is made, and str0m makes one for each call, which was most of the work of a call. Here all calls share one.

use std::fmt;
use std::sync::{Arc, OnceLock};

use dimpl::{Config, Dtls};
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

use super::epoch::Moment;

/// Returns str0m's cryptography, except that DTLS connections share their configuration.
#[must_use]
pub fn provider() -> CryptoProvider {
    static SHARED: Shared = Shared(OnceLock::new());
    CryptoProvider { dtls_provider: &SHARED, ..from_feature_flags() }
}

/// The configuration of the first connection, which all connections use.
#[derive(Debug)]
struct Shared(OnceLock<Arc<Config>>);

impl Shared {
    fn settings(&self, mtu: usize) -> Result<Arc<Config>, DtlsImplError> {
        if let Some(known) = self.0.get().filter(|known| known.mtu() == mtu) {
            return Ok(Arc::clone(known));
        }
        // ICE has already verified the address of the page: cookies are not needed.
        let made = Arc::new(Config::builder().use_server_cookie(false).mtu(mtu).build()?);
        // Another thread may have been first, or used another MTU; this connection then has its own configuration.
        drop(self.0.set(Arc::clone(&made)));
        Ok(made)
    }
}

impl DtlsProvider for Shared {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Moment,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        match (version, mtu) {
            (DtlsVersion::Dtls12, Some(mtu)) => {
                let settings = self.settings(mtu).map_err(CryptoError::DtlsImpl)?;
                Ok(Box::new(Connection(Dtls::new_12(settings, cert.clone(), now))))
            }
            _ => from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu),
        }
    }
}

struct Connection(Dtls);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl DtlsInstance for Connection {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Moment) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<(), DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_made_once() {
        let shared = Shared(OnceLock::new());
        let [first, second] = [1_200, 1_200].map(|mtu| shared.settings(mtu).expect("they are right"));
        assert!(Arc::ptr_eq(&first, &second));
    }
}
