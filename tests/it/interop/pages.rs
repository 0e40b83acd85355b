//! An S3 that has one object on each page, and hands out the later ones slowly where a test wants to be in between.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

/// The bucket whose pages come at once. It has three.
pub const QUICK: &str = "quick-bucket";
/// The bucket whose later pages are held back. It has no end.
pub const SLOW: &str = "slow-bucket";
/// How long a page is held back: below the 2 s that the server gives one attempt.
const HELD: Duration = Duration::from_secs(1);

/// What happens to a page that is held back.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It was asked for.
    Asked,
    /// Who asked for it went away.
    GivenUp,
}

/// The fake. It ends with this value.
pub struct Pages {
    pub address: SocketAddr,
    events: mpsc::UnboundedReceiver<Event>,
    accepting: JoinHandle<()>,
}

impl Pages {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone()));
            }
        });
        Self {
            address,
            events,
            accepting,
        }
    }

    /// Waits until a page is asked for that is held back.
    pub async fn asked(&mut self) {
        assert_eq!(self.events.recv().await, Some(Event::Asked));
    }

    /// Waits until nobody wants such a page any more. More of them may be asked for until then.
    pub async fn given_up(&mut self) {
        while self.events.recv().await.unwrap() != Event::GivenUp {}
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers the one request of a connection.
async fn serve(mut stream: TcpStream, events: mpsc::UnboundedSender<Event>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let page: u32 = request
        .split_once("continuation-token=")
        .map_or(1, |(_, rest)| {
            let digits = rest.split(|character: char| !character.is_ascii_digit());
            digits.into_iter().next().unwrap().parse().unwrap()
        });
    let slow = request.contains(SLOW);
    if slow && page > 1 {
        let _ = events.send(Event::Asked);
        tokio::select! {
            _ = stream.read(&mut byte) => {
                let _ = events.send(Event::GivenUp);
                return;
            }
            () = tokio::time::sleep(HELD) => {}
        }
    }
    let next = page + 1;
    let more = slow || page < 3;
    let body = format!(
        "<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>{more}</IsTruncated>\
         <NextContinuationToken>{next}</NextContinuationToken>\
         <Contents><Key>page-{page}</Key><Size>1</Size></Contents></ListBucketResult>"
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}
