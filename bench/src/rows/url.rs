//! What a handler behind a URL adds to calling its address directly, for a short request.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    ops::ControlFlow,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Pair, TURN};
use crate::{
    crowd::Crowd,
    frame, machine,
    process::{Server, Side},
    row::{Aim, Row},
};

const PAYLOAD: &str = r#"{"text":"the quick brown fox jumps over it"}"#;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\ntrue";

pub(crate) fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let address = serve()?;
    let server =
        Server::start_with(Side::Product, &bench.folder, &["--url", &format!("http://{address}/work")])?;
    let mut added = Pair::default();
    for _ in 0..bench.rounds {
        let direct = median_millis(&mut direct(address)?)?;
        added.add(Side::Floor, direct);
        added.add(Side::Product, median_millis(&mut through(bench, &server)?)? - direct);
    }
    Ok(vec![Row::of("url-handler", "ms added, p50", Aim::Below(1.0), &added.product, &added.floor)])
}

/// The median, in milliseconds, of one call at a time.
fn median_millis(call: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let mut nanos = machine::latencies();
    let until = Instant::now() + TURN;
    while Instant::now() < until {
        let sent = Instant::now();
        call()?;
        nanos.saturating_record(u64::try_from(sent.elapsed().as_nanos())?);
    }
    Ok(nanos.value_at_quantile(0.5) as f64 / 1e6)
}

/// A call to the address itself, over a connection that is kept.
fn direct(address: SocketAddr) -> Result<impl FnMut() -> Result<()>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!(
        "POST /work HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{PAYLOAD}",
        PAYLOAD.len()
    );
    let mut answer = vec![0; ANSWER.len()];
    Ok(move || {
        stream.write_all(request.as_bytes())?;
        stream.read_exact(&mut answer)?;
        Ok(())
    })
}

/// A request to the product, whose action is done there.
fn through(bench: &Bench, server: &Server) -> Result<impl FnMut() -> Result<()>> {
    let mut one = Crowd::open(server.address, &bench.tokens, 1)?;
    let request = frame::text(&format!(r#"{{"action":"bench.url","payload":{PAYLOAD}}}"#));
    Ok(move || {
        one.send(0, &request)?;
        let mut succeeded = false;
        one.await_enough(|heard| {
            succeeded = heard.text.windows(14).any(|some| some == br#""success":true"#);
            ControlFlow::Break(())
        })?;
        ensure!(succeeded, "the handler failed");
        Ok(())
    })
}

/// Answers whatever is posted, on the load's core: as bare as a server can be.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection ends when its other end does.
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::new(stream.try_clone()?), stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            ensure!(input.read_line(&mut line)? > 0, "the other end has left");
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().context("a length is a number")?;
            }
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        output.write_all(ANSWER.as_bytes())?;
    }
}
