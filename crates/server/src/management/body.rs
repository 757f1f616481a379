//! Reads the body of a call, within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::Exception;

/// Of a body that is not wanted so much is read all the same and thrown away: a client that is still writing would
/// otherwise find its connection reset, and never read why.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The whole body, if it is at most so large and comes in time.
pub(super) async fn read(body: Body, bytes_max: usize, within: Duration) -> Result<Bytes, Exception> {
    let reading = async {
        let mut chunks = body.into_data_stream();
        let (mut whole, mut count) = (Vec::new(), 0_usize);
        while let Some(chunk) = chunks.next().await {
            // The client left: nobody hears the answer.
            let chunk = chunk.map_err(|_| Exception::Slow)?;
            count += chunk.len();
            if count <= bytes_max {
                whole.extend_from_slice(&chunk);
            } else if count > DISCARDED_BYTES_MAX {
                break;
            } else {
                whole = Vec::new();
            }
        }
        if count <= bytes_max { Ok(whole.into()) } else { Err(Exception::PayloadTooLarge) }
    };
    timeout(within, reading).await.unwrap_or(Err(Exception::Slow))
}

/// Reads the body of a call that is refused.
pub(super) async fn discard(body: Body, within: Duration) {
    // It is refused either way.
    let _ = read(body, 0, within).await;
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(chunks: &[usize]) -> Body {
        let chunks: Vec<_> =
            chunks.iter().map(|len| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *len]))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    const WITHIN: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_is_whole_or_too_large() {
        assert_eq!(read(body(&[]), 0, WITHIN).await, Ok(Bytes::new()));
        assert_eq!(read(body(&[4, 6]), 10, WITHIN).await, Ok(Bytes::from(vec![b'x'; 10])));
        assert_eq!(read(body(&[4, 7]), 10, WITHIN).await, Err(Exception::PayloadTooLarge));
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 * 1024])));
        assert_eq!(read(Body::from_stream(endless), 10, WITHIN).await, Err(Exception::PayloadTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn it_comes_in_time() {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(read(Body::from_stream(never), 10, WITHIN).await, Err(Exception::Slow));
    }
}
