// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! Requests to the API server: who it has to be, who asks, and what its refusals mean.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::time::timeout;

use crate::config::{read, Config};
use crate::http::{Connection, Exchange};
use crate::objects::Status;
use crate::stream::{trust, Stream};

const CONNECT: Duration = Duration::from_secs(5);
/// From the request to the response's head.
const HEAD: Duration = Duration::from_secs(15);
const ERROR_LIMIT: usize = 64 * 1024;

/// The API server as this pod sees it.
pub(crate) struct Api {
    pub(crate) config: Config,
    tls: bool,
    /// Host and port, the host of IPv6 in brackets.
    authority: String,
    name: ServerName<'static>,
    /// The authorities' file as it was read last, and what was made of it.
    trusted: RefCell<Option<(String, Arc<ClientConfig>)>>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// 410: what was asked for is no longer kept; list again.
    Gone,
    /// One sentence with cause and remedy.
    Trouble(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(
                f,
                "The API server no longer keeps this resourceVersion; listing again."
            ),
            Self::Trouble(sentence) => f.write_str(sentence),
        }
    }
}

impl Api {
    /// # Errors
    /// A sentence about an address that is none.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{}' is no address of an API server: give https://host:port.",
                config.api
            )
        };
        let (tls, rest) = match config.api.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse::<u16>().map_err(|_| wrong())?)
            }
            _ => (rest, if tls { 443 } else { 80 }),
        };
        let bare = host.trim_matches(['[', ']']);
        let name = match bare.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(bare.to_owned()).map_err(|_| wrong())?,
        };
        // A token in clear text goes no further than this pod (a sidecar such as kubectl proxy).
        if !tls
            && !bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        {
            return Err(format!(
                "{} has no TLS: use https, or http to 127.0.0.1 only.",
                config.api
            ));
        }
        let authority = format!("{host}:{port}");
        Ok(Self {
            config,
            tls,
            authority,
            name,
            trusted: RefCell::default(),
        })
    }

    /// Whether the files are there, before anything is asked.
    pub(crate) fn check(&self) -> Result<(), String> {
        read(&self.config.token_file)?;
        if self.tls {
            self.trust()?;
        }
        Ok(())
    }

    /// Sends a GET over the connection that was kept, or over a new one where there is none or the server ended it.
    pub(crate) async fn get(
        &self,
        kept: &mut Option<Connection>,
        path: &str,
    ) -> Result<Exchange, Failure> {
        // Read for each request: a projected token is replaced long before it expires.
        let token = read(&self.config.token_file).map_err(Failure::Trouble)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\
             User-Agent: wasinn-watcher/{}\r\n\r\n",
            self.authority,
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(connection) = kept.take() {
            if let Ok(Ok(exchange)) = timeout(HEAD, connection.send(request.as_bytes())).await {
                return self.accepted(exchange).await;
            }
        }
        let connection = self.connect().await?;
        let exchange = self
            .within(HEAD, connection.send(request.as_bytes()))
            .await?;
        self.accepted(exchange).await
    }

    /// Waits no longer than `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        action: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Failure> {
        match timeout(limit, action).await {
            Ok(result) => result.map_err(|error| self.trouble(&error)),
            Err(_) => Err(self.trouble(&io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs()),
            ))),
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let tls = match self.tls {
            true => Some((self.trust().map_err(Failure::Trouble)?, self.name.clone())),
            false => None,
        };
        let stream = self.within(CONNECT, Stream::connect(&self.authority, tls));
        Ok(Connection::new(stream.await?))
    }

    /// Read for each connection, made anew only when the file changed.
    fn trust(&self) -> Result<Arc<ClientConfig>, String> {
        let file = &self.config.ca_file;
        let pem = read(file)?;
        let mut trusted = self.trusted.borrow_mut();
        if let Some((text, config)) = &*trusted {
            if *text == pem {
                return Ok(config.clone());
            }
        }
        let config = trust(&pem)
            .map_err(|why| format!("{} is no file of CA certificates ({why})", file.display()))?;
        *trusted = Some((pem, config.clone()));
        Ok(config)
    }

    fn trouble(&self, error: &io::Error) -> Failure {
        let api = &self.config.api;
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        Failure::Trouble(match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => format!(
                "{api} shows a certificate that is not from the authorities in {}: give the cluster's own CA file.",
                self.config.ca_file.display()
            ),
            Some(rustls::Error::InvalidCertificate(error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))) => format!(
                "{api} shows a certificate for another name ({error}): use an address that it names (tls-san adds one)."
            ),
            Some(rustls::Error::InvalidCertificate(error)) => format!(
                "{api} shows a certificate that cannot be used ({error}): renew it, and check both clocks."
            ),
            _ => format!("The API server {api} does not answer ({error}): is it up, and may this pod reach it?"),
        })
    }

    async fn accepted(&self, mut exchange: Exchange) -> Result<Exchange, Failure> {
        if exchange.status == 200 {
            return Ok(exchange);
        }
        let body = self.within(HEAD, exchange.whole(ERROR_LIMIT)).await?;
        let mut status: Status = serde_json::from_slice(&body).unwrap_or_default();
        status.code = exchange.status;
        Err(self.refusal(&status))
    }

    /// What a Status means, of a response or of a watch's ERROR event.
    pub(crate) fn refusal(&self, status: &Status) -> Failure {
        let message = status.message.trim();
        match status.code {
            410 => Failure::Gone,
            // etcd was put back to an older state: this version will not come for long.
            504 if message.contains("Too large resource version") => Failure::Gone,
            401 => Failure::Trouble(format!(
                "The API server does not accept the token in {} (401): is it of this cluster, and is the service \
                 account still there?",
                self.config.token_file.display()
            )),
            403 => Failure::Trouble(format!(
                "The API server forbids it (403: {message}): give this pod's service account a Role in namespace {} \
                 with list and watch on services and on endpointslices.discovery.k8s.io.",
                self.config.namespace
            )),
            code => Failure::Trouble(format!(
                "The API server {} answers {code}{}{message}; trying again.",
                self.config.api,
                if message.is_empty() { "" } else { ": " }
            )),
        }
    }
}
