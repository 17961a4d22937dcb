//! Connections that open, are lost or closed, and come back: what each part has to do then.

use std::net::IpAddr;

use offhook_sip::Message;
use offhook_ua::log::{Masked, named};
use tracing::debug;

use super::party::{Aor, Flow};
use super::{ConnId, Output, Proxy};
use crate::registrar::Device;

impl Proxy {
    pub(super) fn opened(&mut self, conn: ConnId, peer: IpAddr, application: String) {
        let cx = &mut self.cx;
        if !cx.settings.applications.contains_key(&application) {
            debug!(conn = conn.0, code = 1008, reason = "unknown application", "closing");
            return cx.push(Output::Close { conn, code: 1008, reason: "unknown application" });
        }
        cx.connections.open(&mut cx.clock, conn, peer, application, cx.settings.per_second);
        if let Some(first) = cx.connections.silent_excess(cx.settings.max_silent) {
            self.hang_up(first, 1013, "too many silent connections");
        }
    }

    /// Closes a connection from our side.
    pub(super) fn hang_up(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        if let Some(connection) = self.cx.connections.get(conn) {
            let user = connection.user.as_ref().and_then(|aor| named(&aor.user));
            debug!(conn = conn.0, application = connection.application, user, code, reason, "closing");
            self.cx.flush();
            self.cx.push(Output::Close { conn, code, reason });
            self.closed(conn);
        }
    }

    /// A connection is gone, whoever closed it.
    pub(super) fn closed(&mut self, conn: ConnId) {
        let devices = self.registrar.close(conn);
        if let Some(aor) = self.cx.connections.close(&mut self.cx.clock, conn, devices) {
            self.calls.connection_lost(&mut self.cx, &aor);
        }
    }

    /// A lost connection has had no successor for too long.
    pub(super) fn lost_for_good(&mut self, conn: ConnId) {
        if let Some((aor, _)) = self.cx.connections.give_up(&mut self.cx.clock, conn) {
            self.calls.connection_lost(&mut self.cx, &aor);
        }
    }

    /// The page behind a connection was closed: it comes back into none of its calls.
    pub(super) fn left(&mut self, conn: ConnId) {
        if let Some(aor) = self.cx.connections.lost_user(conn) {
            self.calls.leave(aor, Flow::WebSocket(conn));
        }
        self.lost_for_good(conn);
    }

    /// The identity of a connection holds no longer: new calls do not ring there and do not come from there until it is proven anew. Calls
    /// that run go on.
    pub(super) fn lapse(&mut self, conn: ConnId) {
        if let Some(aor) = self.cx.connections.lapse(&mut self.cx.clock, conn) {
            self.registrar.lapse_on(&mut self.cx, &aor, conn);
        }
    }

    /// A user has another password: what was shown with an older one holds no longer.
    pub(super) fn password_changed(&mut self, aor: &Aor, revision: u64) {
        let in_call = self.calls.has_any(aor);
        for conn in self.cx.connections.proven_before(aor, revision) {
            self.lapse(conn);
            // A page that only waits would learn of it when its registration is due.
            if !in_call {
                self.hang_up(conn, 1008, "the password was changed");
            }
        }
    }

    /// A device has sent `message`: where it has not used that flow before, what waits for it goes there.
    pub(super) fn note_contact(&mut self, flow: Flow, message: &Message<'_>) {
        let Some(conn) = flow.conn() else { return };
        let Some(aor) = self.cx.connections.user(conn).cloned() else { return };
        if let Some(device) = self.cx.connections.note_contact(conn, &aor, message) {
            self.returned(conn, &aor, &device);
            self.relay.release(&mut self.cx, &self.registrar, &aor);
        }
    }

    /// A device has sent something over `conn`: what was under way to it over a lost connection goes there from now on.
    pub(super) fn returned(&mut self, conn: ConnId, aor: &Aor, device: &Device) {
        for old in self.cx.connections.lost_of(aor, device) {
            let kept = self.cx.connections.give_up(&mut self.cx.clock, old).map(|(_, kept)| kept).unwrap_or_default();
            debug!(conn = conn.0, before = old.0, application = aor.application, user = %Masked(&aor.user), "the device is back");
            let sent = self.follow(old, conn, aor);
            kept.into_iter().filter(|text| !sent.contains(text)).for_each(|text| self.cx.send(Flow::WebSocket(conn), text));
        }
    }

    /// A device has registered again while its old connection still seemed open: the old one is dead.
    pub(super) fn replace(&mut self, old: ConnId, conn: ConnId, aor: &Aor) {
        if self.registrar.bindings(aor).iter().any(|binding| binding.conn == Some(old)) {
            return;
        }
        self.hang_up(old, 1008, "replaced by a newer connection");
        self.cx.connections.give_up(&mut self.cx.clock, old);
        self.follow(old, conn, aor);
    }

    /// What belongs to `old` belongs to `conn` from now on, and what the device never answered is retransmitted. Returns the requests in
    /// dialogs among that.
    fn follow(&mut self, old: ConnId, conn: ConnId, aor: &Aor) -> Vec<String> {
        self.cx.connections.move_to(&mut self.cx.clock, old, conn);
        let (old, flow) = (Flow::WebSocket(old), Flow::WebSocket(conn));
        self.calls.follow(&mut self.cx, old, flow, aor);
        self.relay.follow(&mut self.cx, old, flow)
    }
}
