//! Byte by byte, by the documentation's tables.

use proptest::prelude::*;

use super::*;

/// Bytes, written as pieces: numbers big-endian, text with its zero.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    fn int16(mut self, number: i16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn int32(mut self, number: i32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn int64(mut self, number: i64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn string(mut self, text: &str) -> Self {
        self.0.extend(text.as_bytes());
        self.byte(0)
    }

    fn text(mut self, text: &str) -> Self {
        self = self.byte(b't').int32(text.len() as i32);
        self.0.extend(text.as_bytes());
        self
    }
}

fn bytes(kind: u8) -> Bytes {
    Bytes::default().byte(kind)
}

/// Reads it whole, and finds every beginning of it too short.
fn parse(bytes: &Bytes) -> Message<'_> {
    for end in 0..bytes.0.len() {
        assert!(Message::parse(&bytes.0[..end]).is_err(), "its first {end} bytes are read");
    }
    let longer = [&bytes.0[..], &[0]].concat();
    assert_eq!(Message::parse(&longer), Err(Malformed::TooLong(1)));
    Message::parse(&bytes.0).expect("is whole")
}

#[test]
fn begin() {
    let message = bytes(b'B').int64(0x16_B374_D848).int64(700_000_000_000_000).int32(555);
    let expected =
        Message::Begin { commit: Lsn(0x16_B374_D848), committed_at: 700_000_000_000_000, xid: 555 };
    assert_eq!(parse(&message), expected);
}

#[test]
fn commit() {
    let message = bytes(b'C').byte(0).int64(10).int64(20).int64(-30);
    assert_eq!(parse(&message), Message::Commit { commit: Lsn(10), end: Lsn(20), committed_at: -30 });
}

#[test]
fn origin() {
    let message = bytes(b'O').int64(10).string("upstream");
    assert_eq!(parse(&message), Message::Origin { commit: Lsn(10), name: "upstream" });
}

#[test]
fn relation() {
    let message = bytes(b'R').int32(16_385).string("activity").string("event_outbox").byte(b'd').int16(2);
    let message = message.byte(1).string("event_id").int32(2950).int32(-1);
    let message = message.byte(0).string("größe").int32(1043).int32(104);
    let column = |is_key, name, type_oid, modifier| Column { is_key, name, type_oid, modifier };
    let expected = Relation {
        id: 16_385,
        schema: "activity",
        name: "event_outbox",
        replica_identity: b'd',
        columns: vec![column(true, "event_id", 2950, -1), column(false, "größe", 1043, 104)],
    };
    assert_eq!(parse(&message), Message::Relation(expected));
}

#[test]
fn type_() {
    let message = bytes(b'Y').int32(16_390).string("activity").string("event_status");
    assert_eq!(parse(&message), Message::Type { oid: 16_390, schema: "activity", name: "event_status" });
}

#[test]
fn insert_with_every_kind_of_value() {
    let mut message = bytes(b'I').int32(7).byte(b'N').int16(5);
    message = message.byte(b'n').byte(b'u').text("é").text("").byte(b'b').int32(2).byte(1).byte(2);
    let new = vec![Datum::Null, Datum::Unchanged, Datum::Text("é"), Datum::Text(""), Datum::Binary(&[1, 2])];
    assert_eq!(parse(&message), Message::Insert { relation: 7, new });
}

#[test]
fn update_without_and_with_what_was_before() {
    let new = |message: Bytes| message.byte(b'N').int16(1).text("new");
    let before = |kind| bytes(b'U').int32(7).byte(kind).int16(1).text("old");
    let (old, with) =
        (vec![Datum::Text("old")], |old| Message::Update { relation: 7, old, new: vec![Datum::Text("new")] });
    assert_eq!(parse(&new(bytes(b'U').int32(7))), with(None));
    assert_eq!(parse(&new(before(b'K'))), with(Some(Old::Key(old.clone()))));
    assert_eq!(parse(&new(before(b'O'))), with(Some(Old::Whole(old))));
}

#[test]
fn delete_with_the_key_or_all_of_the_row() {
    let message = |kind| bytes(b'D').int32(7).byte(kind).int16(2).text("old").byte(b'n');
    let old = vec![Datum::Text("old"), Datum::Null];
    assert_eq!(parse(&message(b'K')), Message::Delete { relation: 7, old: Old::Key(old.clone()) });
    assert_eq!(parse(&message(b'O')), Message::Delete { relation: 7, old: Old::Whole(old) });
    assert_eq!(Message::parse(&message(b'N').0), Err(Malformed::Unknown(b'N', "deleted row")));
}

#[test]
fn truncate() {
    let message = |options| bytes(b'T').int32(2).byte(options).int32(7).int32(8);
    let truncated =
        |cascade, restart_identity| Message::Truncate { relations: vec![7, 8], cascade, restart_identity };
    assert_eq!(parse(&message(0)), truncated(false, false));
    assert_eq!(parse(&message(1)), truncated(true, false));
    assert_eq!(parse(&message(2)), truncated(false, true));
}

#[test]
fn logical_message() {
    let message = bytes(b'M').byte(1).int64(10).string("streamer").int32(3).byte(1).byte(0).byte(2);
    let expected =
        Message::Logical { transactional: true, lsn: Lsn(10), prefix: "streamer", content: &[1, 0, 2] };
    assert_eq!(parse(&message), expected);
}

#[test]
fn what_is_around_a_message() {
    let data = bytes(b'w').int64(1).int64(2).int64(3).byte(b'x');
    assert_eq!(
        Streamed::parse(&data.0),
        Ok(Streamed::Data { start: Lsn(1), end: Lsn(2), sent_at: 3, message: b"x" })
    );
    let keepalive = |reply| bytes(b'k').int64(9).int64(3).byte(reply);
    assert_eq!(Streamed::parse(&keepalive(1).0), Ok(Streamed::Keepalive { end: Lsn(9), reply: true }));
    assert_eq!(Streamed::parse(&keepalive(0).0), Ok(Streamed::Keepalive { end: Lsn(9), reply: false }));
    assert_eq!(Streamed::parse(b"z"), Err(Malformed::Unknown(b'z', "replication message")));
}

#[test]
fn what_is_unknown_or_wrong_is_said() {
    assert_eq!(Message::parse(b"Z"), Err(Malformed::Unknown(b'Z', "message")));
    assert_eq!(
        Message::parse(&bytes(b'I').int32(7).byte(b'X').0),
        Err(Malformed::Unknown(b'X', "inserted row"))
    );
    let value = bytes(b'I').int32(7).byte(b'N').int16(1).byte(b'?');
    assert_eq!(Message::parse(&value.0), Err(Malformed::Unknown(b'?', "value")));
    let negative = bytes(b'I').int32(7).byte(b'N').int16(1).byte(b't').int32(-1);
    assert_eq!(Message::parse(&negative.0), Err(Malformed::TooShort));
    let no_text = bytes(b'I').int32(7).byte(b'N').int16(1).byte(b't').int32(1).byte(0xFF);
    assert_eq!(Message::parse(&no_text.0), Err(Malformed::NotUtf8));
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(kind in prop::sample::select(b"BCORYIUDTMwkx".to_vec()), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind][..], &rest].concat();
        let _ = Message::parse(&bytes);
        let _ = Streamed::parse(&bytes);
    }

    #[test]
    fn a_damaged_message_ends_without_a_panic(at in 0_usize..60, with in any::<u8>()) {
        let mut message = bytes(b'U').int32(7).byte(b'K').int16(1).text("old").byte(b'N').int16(3).text("new").byte(b'u').byte(b'n').0;
        let at = at % message.len();
        message[at] = with;
        let _ = Message::parse(&message);
    }
}
