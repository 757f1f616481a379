//! Who we are: the start of a connection, up to its first query.

use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::frontend,
};

use super::{Connection, Fields, Purpose};
use crate::{
    error::{Error, Result, ServerError},
    pgoutput::Malformed,
    settings::Server,
};

/// How the session prints values; `json.rs` reads them so.
const PRINTS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("application_name", "streamer"),
];

/// Logs in and waits until the server is ready.
pub(super) async fn login(connection: &mut Connection, server: &Server, purpose: Purpose) -> Result<()> {
    let mut parameters = vec![("user", server.user.as_str()), ("database", server.database.as_str())];
    parameters.extend(PRINTS);
    if purpose == Purpose::Replication {
        parameters.push(("replication", "database"));
    }
    frontend::startup_message(parameters, &mut connection.sender.buffer)?;
    connection.sender.flush().await?;
    authenticate(connection, server).await?;
    loop {
        let frame = connection.frames.next().await?;
        match frame.tag {
            b'Z' => return Ok(()),
            b'E' => return Err(Fields::of(&frame.body).error().into()),
            b'S' => {
                let mut fields = Fields::of(&frame.body);
                if fields.text()? == "server_version" {
                    connection.version = version(fields.text()?);
                }
            }
            _ => {}
        }
    }
}

async fn authenticate(connection: &mut Connection, server: &Server) -> Result<()> {
    loop {
        let (kind, rest) = request(connection).await?;
        match kind {
            0 => return Ok(()),
            3 => frontend::password_message(password(server)?, &mut connection.sender.buffer)?,
            5 => {
                let salt = rest.first_chunk::<4>().copied().ok_or(Malformed::TooShort)?;
                let hash = md5_hash(server.user.as_bytes(), password(server)?, salt);
                frontend::password_message(hash.as_bytes(), &mut connection.sender.buffer)?;
            }
            10 => {
                scram(connection, server, &rest).await?;
                continue;
            }
            other => {
                return Err(refused(format!(
                    "the server asks for a proof of kind {other}, which is not known"
                )));
            }
        }
        connection.sender.flush().await?;
    }
}

/// RFC 5802 and 7677, by `postgres-protocol`.
async fn scram(connection: &mut Connection, server: &Server, mechanisms: &[u8]) -> Result<()> {
    if !mechanisms.split(|byte| *byte == 0).any(|mechanism| mechanism == SCRAM_SHA_256.as_bytes()) {
        return Err(refused("the server offers no SCRAM-SHA-256"));
    }
    let mut scram = ScramSha256::new(password(server)?, ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut connection.sender.buffer)?;
    connection.sender.flush().await?;
    let (11, challenge) = request(connection).await? else { return Err(Malformed::TooShort.into()) };
    scram.update(&challenge).map_err(|_| refused("the server's answer to SCRAM does not fit"))?;
    frontend::sasl_response(scram.message(), &mut connection.sender.buffer)?;
    connection.sender.flush().await?;
    let (12, proof) = request(connection).await? else { return Err(Malformed::TooShort.into()) };
    scram.finish(&proof).map_err(|_| refused("the server does not know the password either"))
}

/// What the server wants to know.
async fn request(connection: &mut Connection) -> Result<(u32, Vec<u8>)> {
    loop {
        let frame = connection.frames.next().await?;
        match frame.tag {
            b'R' => {
                let mut fields = Fields::of(&frame.body);
                return Ok((fields.u32()?, fields.rest().to_vec()));
            }
            b'E' => return Err(Fields::of(&frame.body).error().into()),
            _ => {}
        }
    }
}

fn password(server: &Server) -> Result<&[u8]> {
    let password =
        server.password.as_deref().ok_or_else(|| refused("the server wants a password, and none is set"))?;
    Ok(password.as_bytes())
}

/// As the server says it when it does not let us in.
fn refused(message: impl Into<String>) -> Error {
    ServerError { code: "28000".into(), message: message.into() }.into()
}

/// 150003 of `15.3 (Debian 15.3-1)`.
fn version(text: &str) -> u32 {
    let number = text.split([' ', '(']).next().unwrap_or_default();
    // `18beta1` has no minor version.
    let part = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    part(major).unwrap_or(0).saturating_mul(10_000).saturating_add(part(minor).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_numbers() {
        for (text, number) in
            [("15.3 (Debian 15.3-1)", 150_003), ("18beta1", 180_000), ("17.0", 170_000), ("", 0), ("x", 0)]
        {
            assert_eq!(version(text), number, "{text}");
        }
    }
}
