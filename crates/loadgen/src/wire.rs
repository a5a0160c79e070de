//! What carries a connection's bytes: the socket as it is, or TLS over it. Called by `connection`.
//!
//! TLS is rustls, since the other end is OpenSSL: a fault cannot hide on both ends. The server's certificate is the one file that
//! the command line names, compared byte for byte: the suite makes it itself, so there is no authority to ask.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
};

/// A stream socket, plain or with TLS over it.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A TLS session and the socket that its records go over.
pub struct Tls {
    stream: TcpStream,
    session: ClientConnection,
}

impl Wire {
    /// Takes over a connected, blocking socket; with a configuration the handshake is done here. Goes non-blocking.
    ///
    /// # Errors
    /// Those of the handshake and of setting the option.
    pub fn new(mut stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> io::Result<Wire> {
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a valid name");
                let mut session =
                    ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
                while session.is_handshaking() {
                    session.complete_io(&mut stream)?;
                }
                Wire::Tls(Box::new(Tls { stream, session }))
            }
        };
        wire.stream().set_nonblocking(true)?;
        Ok(wire)
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(tls) => &tls.stream,
        }
    }

    /// Whether records wait for room in the socket's buffer.
    pub fn wants_room(&self) -> bool {
        match self {
            Wire::Plain(_) => false,
            Wire::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Reads from the socket once; `WouldBlock` may also mean that no record is whole yet.
    ///
    /// # Errors
    /// Those of `recv(2)`, and `InvalidData` for what is not TLS.
    pub fn receive(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(_) => Ok(()),
            Wire::Tls(tls) => {
                tls.session.read_tls(&mut tls.stream)?;
                tls.session
                    .process_new_packets()
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                Ok(())
            }
        }
    }

    /// Whether [`Wire::read`] may be called again without waiting for the socket.
    pub fn holds_back(&self) -> bool {
        matches!(self, Wire::Tls(_))
    }

    /// Decrypted bytes, or those of the socket itself.
    ///
    /// # Errors
    /// `WouldBlock` when there are none, else those of `recv(2)`.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(room),
            Wire::Tls(tls) => tls.session.reader().read(room),
        }
    }

    /// Sends or encrypts what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, else those of `send(2)`.
    pub fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(data),
            Wire::Tls(tls) => {
                tls.flush()?;
                let count = tls.session.writer().write(data)?;
                match tls.flush() {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(count),
                }
            }
        }
    }

    /// Sends the records that wait.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full, else those of `send(2)`.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(_) => Ok(()),
            Wire::Tls(tls) => tls.flush(),
        }
    }
}

impl Tls {
    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

/// A configuration that trusts the certificate in this PEM file and no other.
///
/// # Errors
/// When the file holds no certificate.
pub fn trusting(pem: &std::path::Path) -> io::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(pem).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let only = Arc::new(Only {
        certificate,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(only)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts one certificate.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
