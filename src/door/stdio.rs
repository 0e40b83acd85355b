//! The stdio door: one JSON-RPC message a line, on standard input and output.
//!
//! Owns the lines. The caller is whoever started the process, and calls work with the process's own AWS credentials.
//! Messages are answered concurrently, each in a context of its own; answers are written whole. The end of the input
//! ends the server, after what is being answered.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};

use super::{access::AccessLine, random_u64};
use crate::{
    context::RuntimeContext,
    mcp::{Delivery, Edge, Refusal, Reply, RpcError, Wire},
    telemetry::Trail,
};

/// Answers that wait for a client that does not read.
const OUTBOX: usize = 64;
/// Messages that are answered at once; more wait unread.
const MAX_CONCURRENT: usize = 64;

/// Serves `edge` on a pair of streams, with lines of at most `max_line` bytes, until the input ends or the output
/// breaks.
pub async fn serve<R, W>(edge: Arc<Edge>, input: R, output: W, max_line: usize) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (outbox, mut sent) = mpsc::channel::<Bytes>(OUTBOX);
    #[expect(clippy::disallowed_methods, reason = "the writer carries no caller")]
    let writer = tokio::spawn(async move {
        let mut output = output;
        while let Some(message) = sent.recv().await {
            output.write_all(&message).await?;
            output.write_all(b"\n").await?;
            output.flush().await?;
        }
        Ok::<_, io::Error>(())
    });
    let process = random_u64();
    let mut lines = Lines { input, max_line };
    let mut calls = JoinSet::new();
    let mut number = 0_u64;
    while !outbox.is_closed() {
        while calls.len() >= MAX_CONCURRENT {
            calls.join_next().await;
        }
        let line = match lines.next().await? {
            Line::End => break,
            Line::TooLong => {
                let error = RpcError::invalid_request(
                    "The message is longer than this server accepts (server.maxBodyBytes).",
                );
                let _ = outbox.send(Refusal::nameless(error).to_bytes()).await;
                continue;
            }
            Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(line) => line,
        };
        let incoming = match edge.receive(Wire::Stdio, &line) {
            Ok(incoming) => incoming,
            Err(refusal) => {
                let _ = outbox.send(refusal.to_bytes()).await;
                continue;
            }
        };
        number += 1;
        let id: Arc<str> = format!("{process:016x}-{number}").into();
        let trail = Arc::new(Trail::default());
        let mut log = AccessLine::new(Arc::clone(&id), Arc::clone(&trail), None);
        let context = Arc::new(RuntimeContext::stdio(id, trail));
        let (edge, outbox) = (Arc::clone(&edge), outbox.clone());
        calls.spawn(async move {
            let delivery = Delivery {
                streams: true,
                max_bytes: usize::MAX,
                escaped: false,
                until: None,
            };
            let reply = edge.answer(context, incoming, delivery).await;
            log.answered(None);
            match reply {
                // Who cancelled a request does not read its answer.
                Reply::Accepted | Reply::Cancelled(_) => {}
                Reply::Json { body, .. } | Reply::InsufficientScope { body, .. } => {
                    drop(outbox.send(body).await);
                }
                Reply::Stream(mut messages) => {
                    while let Some(message) = messages.next().await {
                        if outbox.send(message).await.is_err() {
                            break;
                        }
                    }
                }
            }
        });
        // What has ended is forgotten at once, however long the input goes on.
        while calls.try_join_next().is_some() {}
    }
    drop(outbox);
    while calls.join_next().await.is_some() {}
    writer
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

struct Lines<R> {
    input: R,
    max_line: usize,
}

enum Line {
    Text(Bytes),
    TooLong,
    End,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line without its end. Of a line that is too long, nothing is kept.
    async fn next(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                return Ok(match (too_long, line.is_empty()) {
                    (true, _) => Line::TooLong,
                    (false, true) => Line::End,
                    (false, false) => Line::Text(line.into()),
                });
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if line.len() + part.len() > self.max_line {
                too_long = true;
                line = Vec::new();
            }
            if !too_long {
                line.extend_from_slice(part);
            }
            let consumed = end.map_or(available.len(), |end| end + 1);
            self.input.consume(consumed);
            if end.is_some() {
                return Ok(if too_long {
                    Line::TooLong
                } else {
                    Line::Text(line.into())
                });
            }
        }
    }
}
