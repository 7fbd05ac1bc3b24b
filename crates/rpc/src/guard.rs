//! Who may talk to the server: the names it answers to, and the web pages that may call it.
//!
//! Invariant: a page from elsewhere cannot reach a server on loopback. A foreign `Host` (DNS rebinding) is refused whatever the
//! method; a foreign `Origin` is refused, not merely left without CORS headers, because a simple POST needs none.
//! Pages served from loopback names are allowed on any port: developer tools live there. Requests without `Origin` are not from pages.

use axum::http::{HeaderMap, header};

/// Names beyond loopback that are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Host names, without port.
    pub hosts: Vec<String>,
    /// Origins in full, for example `https://tool.example`.
    pub origins: Vec<String>,
}

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The name in `authority`, without port and brackets, in lower case.
fn host_name(authority: &str) -> String {
    let name = if let Some(rest) = authority.strip_prefix('[') {
        rest.split(']').next().unwrap_or_default()
    } else if authority.matches(':').count() > 1 {
        authority
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(name: &str) -> bool {
    LOOPBACK.contains(&name) || name.ends_with(".localhost")
}

impl Guard {
    /// Whether a request with these headers may be served.
    ///
    /// # Errors
    /// The text of the refusal.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = host_name(host);
        if !is_loopback(&name) && !self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name)) {
            return Err(format!("host {:?} is not served here; start the chain with it in allowed_hosts", cut(&name)));
        }
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) => self.check_origin(origin.to_str().unwrap_or_default()),
        }
    }

    fn check_origin(&self, origin: &str) -> Result<(), String> {
        let name = origin.split_once("://").map(|(_, authority)| host_name(authority)).unwrap_or_default();
        if is_loopback(&name) || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err(format!("origin {:?} is not allowed; start the chain with it in allowed_origins", cut(origin)))
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn loopback_is_served_and_rebinding_is_not() {
        let guard = Guard { hosts: vec!["node.internal".into()], origins: vec!["https://tool.example".into()] };
        for host in ["localhost:8545", "127.0.0.1", "[::1]:8545", "LOCALHOST", "a.localhost:1", "node.internal:80"] {
            assert_eq!(guard.check(&headers(host, None)), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8545", ""] {
            assert!(guard.check(&headers(host, None)).is_err(), "{host}");
        }
    }

    #[test]
    fn only_known_pages_may_call() {
        let guard = Guard { hosts: vec![], origins: vec!["https://tool.example".into()] };
        for origin in ["http://localhost:3000", "http://127.0.0.1:5173", "https://tool.example"] {
            assert_eq!(guard.check(&headers("localhost", Some(origin))), Ok(()), "{origin}");
        }
        for origin in
            ["null", "https://evil.example", "http://tool.example", "https://localhost.evil.example", "file://"]
        {
            assert!(guard.check(&headers("localhost", Some(origin))).is_err(), "{origin}");
        }
    }
}
