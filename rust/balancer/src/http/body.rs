// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! How long a body is, and the chunked coding (RFC 9112, sections 6 and 7.1).

use super::head::Malformed;
use std::io::Write;

/// What ends a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection ends; responses only.
    Close,
}

/// Bytes that chunk extensions and trailers of one body may take together: they are read over, so this is plenty.
const EXTRAS: usize = 16 << 10;
/// Hexadecimal digits of a chunk's size; more would not fit the memory either.
const DIGITS: u8 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's size, after so many digits.
    Size(u8),
    /// Blanks after the size, which only an extension may follow.
    Blank,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer's line; an empty one ends the body.
    Trailer,
    TrailerLine,
    TrailerEnd,
    LastLf,
    Done,
}

/// Takes the chunked coding off, whatever pieces it comes in. Strict: it is what smuggling goes through.
#[derive(Debug)]
pub struct Dechunk {
    state: State,
    left: u64,
    extras: usize,
}

impl Default for Dechunk {
    fn default() -> Self {
        Dechunk {
            state: State::Size(0),
            left: 0,
            extras: 0,
        }
    }
}

impl Dechunk {
    /// The last chunk and its trailers have come.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes until the input or the body ends; appends what they carry to `data`. Returns how many it took.
    ///
    /// # Errors
    /// Anything but the grammar, or too much of extensions and trailers.
    pub fn decode(&mut self, input: &[u8], data: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let take = self.left.min((input.len() - at) as u64) as usize;
                data.extend_from_slice(&input[at..at + take]);
                at += take;
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        use State::*;
        Ok(match (self.state, byte) {
            (Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < DIGITS => {
                let value = (byte as char).to_digit(16).unwrap_or(0);
                self.left = if digits == 0 { 0 } else { self.left << 4 } | u64::from(value);
                Size(digits + 1)
            }
            (Size(1..), b'\r') => SizeEnd,
            (Size(1..) | Blank, b';') => Extension,
            (Size(1..) | Blank, b' ' | b'\t') => self.extra(Blank)?,
            (Extension, b'\r') => SizeEnd,
            (Extension, byte) if byte == b'\t' || byte >= b' ' && byte != 0x7f => {
                self.extra(Extension)?
            }
            (SizeEnd, b'\n') if self.left == 0 => Trailer,
            (SizeEnd, b'\n') => Data,
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size(0),
            (Trailer, b'\r') => LastLf,
            (LastLf, b'\n') => Done,
            (TrailerLine, b'\r') => TrailerEnd,
            (TrailerEnd, b'\n') => Trailer,
            // A line that begins with a blank would fold into the one before it.
            (Trailer, byte) if byte > b' ' && byte != 0x7f => self.extra(TrailerLine)?,
            (TrailerLine, byte) if byte == b'\t' || byte >= b' ' && byte != 0x7f => {
                self.extra(TrailerLine)?
            }
            _ => return Err(Malformed("the chunked body breaks the grammar")),
        })
    }

    fn extra(&mut self, next: State) -> Result<State, Malformed> {
        self.extras += 1;
        if self.extras > EXTRAS {
            return Err(Malformed(
                "the chunked body has too many extensions or trailers",
            ));
        }
        Ok(next)
    }
}

/// Appends data as one chunk; nothing for no data, which would end the body.
pub fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        let _ = write!(out, "{:x}\r\n", data.len()); // a Vec takes everything
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// What ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &[u8]) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut dechunk, mut data) = (Dechunk::default(), Vec::new());
        let taken = dechunk.decode(input, &mut data)?;
        Ok((data, taken, dechunk.done()))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5;a=b;c=\"d\"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
            (b"0\r\n\r\n", b""),
            (
                b"00A \t;x\r\n0123456789\r\n000\r\nA: b\r\nC: d\r\n\r\n",
                b"0123456789",
            ),
        ];
        for (input, data) in cases {
            let next = [*input, b"GET /"].concat();
            assert_eq!(
                whole(&next),
                Ok((data.to_vec(), input.len(), true)),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        let input = b"5;x=y\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
        for size in 1..input.len() {
            let (mut dechunk, mut data) = (Dechunk::default(), Vec::new());
            for piece in input.chunks(size) {
                assert_eq!(dechunk.decode(piece, &mut data), Ok(piece.len()));
            }
            assert!(dechunk.done());
            assert_eq!(data, b"hello0123456789abcdef");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for input in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x5\r\nhello\r\n",
            b"5 \r\nhello",
            b"5\nhello",
            b"5\rhello",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"5\r\nhello\r\r",
            b"123456789\r\n",
            b"0\r\n b: c\r\n\r\n",
            b"0\r\nA: b\n",
            b";\r\n",
            b"5;\x00\r\n",
            b"5;a\n",
            b" 5\r\n",
            b"0\r\n\rX",
        ] {
            assert!(whole(input).is_err(), "{}", input.escape_ascii());
        }
        let long = [b"1;", vec![b'a'; EXTRAS + 1].as_slice()].concat();
        assert!(whole(&long).is_err());
    }

    #[test]
    fn chunks_come_back() {
        let mut coded = Vec::new();
        chunk(b"hello", &mut coded);
        chunk(b"", &mut coded);
        chunk(&[b'x'; 300], &mut coded);
        coded.extend_from_slice(LAST_CHUNK);
        let (data, taken, done) = whole(&coded).unwrap();
        assert_eq!((data.len(), taken, done), (305, coded.len(), true));
    }
}
