// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! A TCP connection, plain or with TLS: rustls keeps the records, this moves their bytes.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::dns::resolve;

/// A TLS record is no longer than this (and its header).
const RECORD: usize = 16 * 1024;

/// Who ends a call half-way (a time-out) drops the stream as well: what was under way is lost.
pub(crate) struct Stream {
    tcp: TcpStream,
    tls: Option<Tls>,
}

struct Tls {
    session: ClientConnection,
    /// Came from the socket, not yet given to the session: it takes no more than it has room for.
    raw: Vec<u8>,
    taken: usize,
}

/// Trusts the certificate authorities of a PEM text, and only those.
pub(crate) fn trust(pem: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Stream {
    /// `address` is `host:port`; a name is resolved.
    pub(crate) async fn connect(
        address: &str,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> io::Result<Self> {
        let tcp = TcpStream::connect(&resolve(address).await?[..]).await?;
        let Some((config, name)) = tls else {
            return Ok(Self { tcp, tls: None });
        };
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = Self {
            tcp,
            tls: Some(Tls {
                session,
                raw: Vec::with_capacity(RECORD),
                taken: 0,
            }),
        };
        stream.handshake().await?;
        Ok(stream)
    }

    async fn handshake(&mut self) -> io::Result<()> {
        while self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.session.is_handshaking())
        {
            self.send().await?;
            let done = self.feed().await;
            self.send().await?; // an alert says to the server why it failed
            if !done? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Sends all bytes, in one write: WASI has no TCP_NODELAY.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.tcp.write_all(bytes).await,
            Some(tls) => {
                tls.session.writer().write_all(bytes)?;
                self.send().await
            }
        }
    }

    /// Appends what comes next; 0 is the proper end.
    pub(crate) async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else {
                return self.tcp.read_buf(into).await;
            };
            let start = into.len();
            into.resize(start + RECORD, 0);
            let read = tls.session.reader().read(&mut into[start..]);
            into.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let fed = self.feed().await;
            self.send().await?;
            fed?;
        }
    }

    /// Gives the session something of the socket's bytes; false at their end.
    async fn feed(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            return Ok(false);
        };
        if tls.taken == tls.raw.len() {
            tls.raw.clear();
            tls.taken = 0;
            self.tcp.read_buf(&mut tls.raw).await?;
        }
        let mut rest = &tls.raw[tls.taken..];
        let taken = tls.session.read_tls(&mut rest)?;
        tls.taken += taken;
        tls.session
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(taken > 0)
    }

    async fn send(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        let mut records = Vec::new();
        while tls.session.wants_write() {
            tls.session.write_tls(&mut records)?;
        }
        if records.is_empty() {
            return Ok(());
        }
        self.tcp.write_all(&records).await
    }
}
