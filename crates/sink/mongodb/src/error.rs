//! What the driver's errors mean to the pipeline.

use mongodb::error::{Error as DriverError, ErrorKind as DriverKind};
use streamer_events::sink::{Error, ErrorKind};

/// Commands that no server of ours should be sent: BadValue, FailedToParse, TypeMismatch, CommandNotFound.
const WRONG: [i32; 4] = [2, 9, 14, 59];

/// Unauthorized, AuthenticationFailed, and Atlas' own.
const DENIED: [i32; 3] = [13, 18, 8000];

pub(crate) fn of_driver(error: DriverError) -> Error {
    let kind = match error.kind.as_ref() {
        DriverKind::Authentication { .. } => ErrorKind::Denied,
        DriverKind::InvalidArgument { .. } | DriverKind::BsonSerialization(_) => ErrorKind::Invalid,
        DriverKind::BsonDeserialization(_) | DriverKind::Bson(_) => ErrorKind::Corrupt,
        DriverKind::Command(command) => of_code(command.code),
        // The network, a server that is looked for, and whatever else may pass.
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, error)
}

fn of_code(code: i32) -> ErrorKind {
    match code {
        code if DENIED.contains(&code) => ErrorKind::Denied,
        code if WRONG.contains(&code) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}
