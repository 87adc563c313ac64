//! A connection on which what the daemon said is heard, also where it takes nothing more: a daemon may answer while it is still being
//! sent a context, and hang up. hyper gives a connection up at the first failed write, and with it an answer that is there to be read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Writes that the other side does not take any more wait, as if it was slow; reading tells how it ends, which it does at once, since
/// the other side is gone.
pub struct Hearing<S>(pub S);

fn or_wait<T>(written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    match written {
        Poll::Ready(Err(error)) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Poll::Pending,
        other => other,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hearing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        or_wait(Pin::new(&mut self.0).poll_write(cx, buf))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        or_wait(Pin::new(&mut self.0).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        or_wait(Pin::new(&mut self.0).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// A body without an end, sent to somebody who reads its beginning, says this, and hangs up.
    async fn asked(says: &'static str) -> Result<(StatusCode, Bytes), String> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let speaker = tokio::spawn(async move {
            theirs.read_exact(&mut vec![0; 100_000]).await.unwrap();
            theirs.write_all(says.as_bytes()).await.unwrap();
        });
        let (mut sender, connection) = http1::handshake(TokioIo::new(Hearing(ours))).await.unwrap();
        let connection = tokio::spawn(connection);
        let pieces = futures_util::stream::repeat_with(|| Ok::<_, io::Error>(Frame::data(Bytes::from_static(&[7; 16384]))));
        let answer = sender.send_request(Request::post("/build").body(StreamBody::new(pieces)).unwrap()).await;
        let answered = match answer {
            Ok(answer) => {
                let status = answer.status();
                answer.into_body().collect().await.map(|body| (status, body.to_bytes())).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        speaker.await.unwrap();
        connection.abort();
        answered
    }

    #[tokio::test]
    async fn an_answer_is_heard_though_the_daemon_takes_no_more_of_the_context() {
        for _ in 0..50 {
            let answer = "HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nwords";
            assert_eq!(asked(answer).await, Ok((StatusCode::BAD_REQUEST, Bytes::from_static(b"words"))));
            assert!(asked("").await.is_err());
            assert!(asked("HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nwor").await.is_err());
        }
    }
}
