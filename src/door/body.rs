//! Bodies that are watched: an answer's holds something until it is sent, or until its reader goes away; a request's
//! notes that it was read whole.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

/// A body, and a value whose end marks the end of the response.
pub(super) struct Held<T> {
    body: Body,
    value: T,
    at_end: fn(&mut T),
}

impl<T> Held<T> {
    /// `body`, holding `value`, which `at_end` tells that all of the body was taken. It is not told of one that breaks off.
    pub(super) fn new(body: Body, value: T, at_end: fn(&mut T)) -> Self {
        Self {
            body,
            value,
            at_end,
        }
    }
}

impl<T: Unpin> http_body::Body for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_whole = match polled {
            Poll::Ready(None) => true,
            // Whoever asks this does not look for more.
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if is_whole {
            let Self { value, at_end, .. } = &mut *self;
            at_end(value);
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, and whether all of it was read.
pub(super) struct Watched {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl Watched {
    /// `body`, and what will know whether it was read whole. One without a byte is from the beginning.
    pub(super) fn new(body: Incoming) -> (Self, Arc<AtomicBool>) {
        let is_read = Arc::new(AtomicBool::new(body.is_end_stream()));
        let watched = Self {
            body,
            is_read: Arc::clone(&is_read),
        };
        (watched, is_read)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    /// Takes so many frames of a body. Gives whether it was said to have come to its end.
    async fn ended(body: Body, frames: usize) -> bool {
        let ended = Arc::new(AtomicBool::new(false));
        let mut held = Held::new(body, Arc::clone(&ended), |ended| {
            ended.store(true, Ordering::Relaxed);
        });
        for _ in 0..frames {
            let _ = held.frame().await;
        }
        ended.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_has_no_end() {
        let body = |parts: &'static [Result<&str, ()>]| {
            let parts = parts.iter().map(|part| part.map_err(|()| "broken"));
            Body::from_stream(stream::iter(parts))
        };
        assert!(ended(body(&[Ok("a"), Ok("b")]), 3).await);
        assert!(
            !ended(body(&[Ok("a"), Ok("b")]), 2).await,
            "nobody reads on"
        );
        assert!(!ended(body(&[Ok("a"), Err(())]), 2).await, "it fails");
        assert!(ended(Body::from("a"), 1).await, "it says that this was all");
        assert!(!ended(Body::from("a"), 0).await);
    }
}
