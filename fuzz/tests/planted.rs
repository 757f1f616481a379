//! Bugs that somebody could have made, in place of the product's part: each is found.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use streamer_auth::{Identity, Rejected, SourceError, jwks};
use streamer_engine::store::Fingerprint;
use streamer_fuzz::{
    Found, Limit, Target, hunt,
    targets::{Answers, Configuration, Door, Frames, KeySets, Pages, Requests, Rows, Signatures, Tokens},
};
use streamer_protocol::{Action, Json, Request, ServerFrame, TenantId, UserId};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// By so many seeds a planted bug must be found.
const SEEDS: u64 = 3_000;

#[track_caller]
fn finds(target: &mut dyn Target, problem: &str) -> Found {
    let found = hunt(target, 0, Limit::Seeds(SEEDS)).expect_err("nothing was found");
    assert!(found.problem.contains(problem), "{found}");
    *found
}

#[test]
fn a_parser_that_trusts_utf8_boundaries() {
    let parse = |text: &str| {
        // The first character is one byte, it thought.
        let _ = text.get(..1).or_else(|| (!text.is_empty()).then(|| &text[..1]));
        Request::parse(text)
    };
    let found = finds(&mut Requests { parse, ..Requests::default() }, "panicked");
    assert!(found.input.len() <= 4, "it was made small: {found}");
}

#[test]
fn a_request_that_is_not_what_it_is_printed_as() {
    let parse = |text: &str| {
        let request = Request::parse(text)?;
        // Only who says that it is a request is heard out, and none is printed so.
        Ok(if text.contains("\"type\":") { request } else { Request { payload: None, ..request } })
    };
    finds(&mut Requests { parse, ..Requests::default() }, "came back as");
}

#[test]
fn a_fingerprint_of_the_text_as_it_stands() {
    let fingerprint = |action: &Action, payload: &Json| {
        let mut bytes = *Fingerprint::of(action, &Json::parse("1".to_owned()).expect("JSON")).as_bytes();
        for (place, byte) in payload.as_str().bytes().enumerate() {
            bytes[place % 32] = bytes[place % 32].wrapping_mul(31).wrapping_add(byte);
        }
        Fingerprint::from_bytes(bytes)
    };
    finds(&mut Requests { fingerprint, ..Requests::default() }, "spacing changes the fingerprint");
}

#[test]
fn a_client_that_knows_how_long_a_frame_is() {
    let parse = |text: &str| {
        let frame = ServerFrame::parse(text);
        assert!(frame.is_err() || text.len() < 1024, "no frame is that long");
        frame
    };
    finds(&mut Answers { parse }, "no frame is that long");
}

#[test]
fn a_verifier_that_forgets_the_signature() {
    let mut target = Tokens::checked_by(|verifier| {
        Box::new(move |token, now| {
            let good: Result<Identity, Rejected> = verifier.verify(token, now);
            let Some((signed, _)) = token.rsplit_once('.') else { return good };
            // As long as the payload reads well, who would change the header?
            let payload =
                signed.split_once('.').and_then(|(_, payload)| URL_SAFE_NO_PAD.decode(payload).ok());
            let read = payload.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
            if good.is_err() && read.is_some_and(|claims| claims["sub"] == "ada") {
                return Ok(Identity {
                    user: UserId::new("ada"),
                    tenant: TenantId::new("acme"),
                    permissions: Default::default(),
                    topics: Vec::new(),
                    expires_at: now,
                });
            }
            good
        })
    });
    finds(&mut target, "nobody issued");
}

#[test]
fn a_signature_that_need_not_cover_the_body() {
    // As those who take a client's own word for the hash do.
    let mut target = Signatures::default();
    for signed in target.examples() {
        assert_eq!(target.take(&signed), Ok(()));
    }
    target.signed = |verifier, request, _, now| verifier.read(request, now)?.verify(b"{\"a\":1}").map(drop);
    finds(&mut target, "nobody signed");
}

#[test]
fn a_key_set_that_is_never_empty() {
    let read = |body: &[u8], algorithm| {
        if let Ok(set) = serde_json::from_slice::<serde_json::Value>(body)
            && let Some(keys) = set["keys"].as_array()
        {
            assert!(keys.iter().all(|key| key["kty"].is_string()), "every key has its type");
        }
        jwks::read(body, algorithm)
    };
    finds(&mut KeySets { read }, "every key has its type");
    let deaf = |_: &[u8], _| Err(SourceError::Broken("".into()));
    assert!(
        hunt(&mut KeySets { read: deaf }, 0, Limit::Seeds(10)).is_ok(),
        "and nothing is found where nothing is"
    );
}

#[test]
fn a_configuration_that_is_read_by_hand() {
    let load = |file: &Path| {
        let text = fs::read_to_string(file).map_err(|e| format!("streamer.toml: {e}"))?;
        let address = text.lines().find_map(|line| line.strip_prefix("address = "));
        Ok(address.map_or("none", |address| address.strip_prefix('"').expect("it is a string")).to_owned()
            + "!")
    };
    finds(&mut Configuration::read_by(load), "it is a string");
}

#[test]
fn a_store_that_trusts_its_rows() {
    let mut target = Rows::asked_by(Box::new(|_, path| {
        let file = rusqlite::Connection::open(path).map_err(|e| e.to_string())?;
        let statuses = file.prepare("SELECT status FROM request").and_then(|mut all| {
            all.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        });
        for status in statuses.expect("a status is a text") {
            assert!(!status.is_empty());
        }
        Ok(())
    }));
    finds(&mut target, "a status is a text");
}

#[test]
fn a_store_that_trusts_its_file() {
    let mut target = Pages::asked_by(Box::new(|_, path| {
        let file = rusqlite::Connection::open(path).map_err(|e| e.to_string())?;
        let count = file.query_row("SELECT count(*) FROM request", [], |row| row.get::<_, i64>(0));
        count.map(drop).map_err(|e| format!("it gives up: {e}"))
    }));
    finds(&mut target, "it gives up");
}

/// Reads frames and says nothing, or not what it should.
struct Careless {
    /// What it sends when it meets a reserved bit.
    at_reserved_bits: &'static [u8],
}

impl Door for Careless {
    fn serve(&self, listener: TcpListener) {
        let at_reserved_bits = self.at_reserved_bits;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(careless(stream, at_reserved_bits));
            }
        });
    }

    fn token(&self) -> &str {
        "any"
    }

    fn connections(&self) -> Option<usize> {
        None
    }
}

/// Answers well what the examples say, and anything with a reserved bit as it likes.
async fn careless(mut stream: TcpStream, at_reserved_bits: &'static [u8]) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await?;
    loop {
        let first = stream.read_u8().await?;
        let len = match stream.read_u8().await? & 0x7f {
            126 => u64::from(stream.read_u16().await?),
            127 => stream.read_u64().await?,
            len => u64::from(len),
        };
        if first & 0x70 != 0 {
            stream.write_all(at_reserved_bits).await?;
            stream.shutdown().await?;
            return Ok(());
        }
        let mut payload = vec![0; 4];
        (&mut stream).take(len + 4).read_exact(&mut payload).await?;
        payload.clear();
        (&mut stream).take(len.min(200_000)).read_to_end(&mut payload).await?;
        match first {
            0x89 => stream.write_all(&[&[0x8a, payload.len() as u8][..], &payload].concat()).await?,
            0x88 => return stream.write_all(b"\x88\x02\x03\xe8").await,
            // What the bystander asks for.
            _ if payload.starts_with(b"{\"id\":\"b\"") => {
                let answer = br#"{"type":"response","request_id":"b","success":true,"data":{"echo":7}}"#;
                stream.write_all(&[&[0x81, answer.len() as u8][..], answer].concat()).await?;
            }
            _ => {}
        }
    }
}

#[test]
fn a_door_that_closes_without_a_word_or_with_a_wrong_one() {
    for (careless, problem) in [
        (&b""[..], "broke off without a close"),
        (b"\x88\x02\x03\xed", "it closes with Some(1005)"),
        (b"\x81\x03???", "is no frame"),
        (b"\xc1\x00", "a frame begins with 0xc1"),
        (b"\x81\x05ab", "broke off inside a frame"),
    ] {
        finds(&mut Frames::through(Box::new(Careless { at_reserved_bits: careless })), problem);
    }
}
