//! An HTTP/1.1 request on a connection that is kept alive, and its response.
//!
//! The path is the stamp, and the server answers with the path as its body: so a response that belongs to somebody else is
//! caught. The response must be a 200 with a Content-Length (RFC 9112, 6.2) and nothing after it; chunks are refused, since they
//! would make one server's response dearer than another's.

use std::io;

use crate::answer::{Progress, wrong};

/// `/`, the connection's number and the sequence number, in hexadecimal digits.
const PATH: usize = 1 + 16 + 16;
const BEFORE: &[u8] = b"GET ";
const AFTER: &[u8] =
    b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: rondeau-loadgen\r\nAccept: */*\r\n\r\n";
/// No server's head is longer.
const LONGEST_HEAD: usize = 16 * 1024;

/// The request under way and what came of its response.
pub struct Request {
    number: u64,
    bytes: Vec<u8>,
    /// The head, until it is whole.
    head: Vec<u8>,
    /// Bytes of the body that came; None before the head was whole.
    body: Option<usize>,
}

impl Request {
    /// The requests of connection `number`.
    pub fn new(number: u64) -> Self {
        Self {
            number,
            bytes: [BEFORE, &[b'/'; PATH], AFTER].concat(),
            head: Vec::new(),
            body: None,
        }
    }

    /// Forgets the last response and stamps the path.
    pub fn begin(&mut self, sequence: u64) {
        let path = format!("/{:016x}{sequence:016x}", self.number);
        self.bytes[BEFORE.len()..BEFORE.len() + PATH].copy_from_slice(path.as_bytes());
        self.head.clear();
        self.body = None;
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks the next piece of the response.
    ///
    /// # Errors
    /// `InvalidData` for a status that is not 200, a head without the body's length, a body that is not the path.
    pub fn check(&mut self, piece: &[u8]) -> io::Result<Progress> {
        let Some(got) = self.body else {
            return self.check_head(piece);
        };
        let path = &self.bytes[BEFORE.len()..BEFORE.len() + PATH];
        if got + piece.len() > PATH || piece != &path[got..got + piece.len()] {
            return Err(wrong("the body is not the request's path"));
        }
        self.body = Some(got + piece.len());
        Ok(if got + piece.len() == PATH {
            Progress::Answered
        } else {
            Progress::Pending
        })
    }

    fn check_head(&mut self, piece: &[u8]) -> io::Result<Progress> {
        self.head.extend_from_slice(piece);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if self.head.len() > LONGEST_HEAD {
                Err(wrong("the response's head has no end"))
            } else {
                Ok(Progress::Pending)
            };
        };
        let body = self.head.split_off(end + 4);
        let length = content_length(&self.head)?;
        if length != PATH {
            return Err(wrong(format!("a body of {length} bytes, not {PATH}")));
        }
        self.body = Some(0);
        self.check(&body)
    }
}

/// The length that a whole head tells, if it is that of a 200.
fn content_length(head: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(head).map_err(|_| wrong("the head is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(wrong(format!("the response is {status:?}")));
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| wrong("the response tells no length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> (Request, Vec<u8>) {
        let mut request = Request::new(7);
        request.begin(258);
        let path = b"/00000000000000070000000000000102";
        assert!(
            request
                .bytes()
                .starts_with(&[BEFORE, &path[..], b" HTTP/1.1\r\n"].concat())
        );
        let head = b"HTTP/1.1 200 OK\r\nserver: kitchen\r\nContent-length: 33\r\n\r\n";
        (request, [&head[..], path].concat())
    }

    #[test]
    fn a_response_in_pieces_is_accepted_and_then_the_next() {
        let (mut request, response) = request();
        for _ in 0..2 {
            request.begin(258);
            let (last, before) = response.split_last().expect("not empty");
            for byte in before {
                assert_eq!(request.check(&[*byte]).expect("right"), Progress::Pending);
            }
            assert_eq!(request.check(&[*last]).expect("right"), Progress::Answered);
        }
    }

    #[test]
    fn a_response_in_one_piece_is_accepted() {
        let (mut request, response) = request();
        assert_eq!(request.check(&response).expect("right"), Progress::Answered);
    }

    #[test]
    fn what_is_not_the_response_is_an_error() {
        let (_, right) = request();
        let text = String::from_utf8(right).expect("text");
        for wrong in [
            text.replace("200 OK", "500 Oh"),
            text.replace("33", "34"),
            text.replace("Content-length: 33", "Transfer-encoding: chunked"),
            text.replace("0102", "0103"),
            format!("{text}more"),
            "x".repeat(LONGEST_HEAD + 1),
        ] {
            let (mut request, _) = request();
            let found = request.check(wrong.as_bytes());
            assert_eq!(
                found.expect_err("wrong").kind(),
                io::ErrorKind::InvalidData,
                "{wrong}"
            );
        }
    }
}
