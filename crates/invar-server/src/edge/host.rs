//! What a server is called: a page of somebody else's, whose name was made to lead here, is not answered.
//!
//! Such a name is how a browser is led to a server behind its own firewall (DNS rebinding): to the browser it is the
//! other's site still. Addresses of numbers cannot be made to lead elsewhere, so they are always answered.

use std::net::{IpAddr, Ipv6Addr};

/// The names of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// `localhost` and every address; nothing else.
    pub fn of_this_machine() -> Hosts {
        Hosts::default()
    }

    /// These names, too, without ports.
    pub fn and(mut self, names: impl IntoIterator<Item = String>) -> Hosts {
        self.0.extend(names.into_iter().map(|name| plain(&name)));
        self
    }

    /// Is it called so? As in the header `Host`: perhaps with a port.
    pub fn has(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        }
        let name = plain(host.split(':').next().unwrap_or_default());
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.0.contains(&name)
    }
}

/// Names are the same in capitals, and with a full stop at their end.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_called_by_its_names_and_addresses_only() {
        let hosts = Hosts::of_this_machine().and(["Perf.Example.org".to_string()]);
        for name in [
            "localhost",
            "LOCALHOST:8700",
            "127.0.0.1:8700",
            "192.168.1.4",
            "[::1]:8700",
            "perf.example.org.",
            "perf.example.org:443",
        ] {
            assert!(hosts.has(name), "{name}");
        }
        for name in [
            "",
            "evil.example",
            "localhost.evil.example",
            "perf.example.org.evil.example",
            "127.0.0.1.evil.example:8700",
            "[evil]",
            "[::1",
        ] {
            assert!(!hosts.has(name), "{name}");
        }
    }
}
