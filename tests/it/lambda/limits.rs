//! The bounds of a function: its deadline, and how much a front door takes and gives.

use std::{collections::HashMap, time::Duration};

use axum::{Router, http::Uri, routing::get};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{answered, each_mode, expect_whoami, send, token};
use crate::support::{
    FrontDoor, Function, Invocation, Request, Setup, limited,
    runtime_api::{serve, spawn},
    world,
};

#[test]
fn bodies_that_are_too_large() {
    each_mode(async |mode| {
        let function = mode
            .start(Setup::new().with("/server/maxBodyBytes", 2_048))
            .await;
        let padded = |bytes: usize| {
            let call = Request::legacy("whoami", &json!({})).bearer(&token("alice"));
            let body = call.body.clone().unwrap();
            Request {
                body: Some(format!("{body}{}", " ".repeat(bytes - body.len()))),
                ..call
            }
        };
        for &door in mode.doors() {
            for (bytes, status) in [(2_048, 200), (2_049, 413)] {
                let plain = send(&function, door, &padded(bytes)).await;
                assert_eq!(plain.status, status, "{door:?}");
                let base64 = send(&function, door, &padded(bytes).base64()).await;
                assert_eq!(base64.status, status, "{door:?}");
            }
            expect_whoami(&function, door, "bob").await;
        }
        // As much as Lambda passes on, to a function that takes 4 MiB.
        let function = mode.start(Setup::new()).await;
        let door = FrontDoor::RestApi;
        assert_eq!(send(&function, door, &padded(4_194_304)).await.status, 200);
        assert_eq!(send(&function, door, &padded(4_194_305)).await.status, 413);
        assert_eq!(send(&function, door, &padded(5_900_000)).await.status, 413);
        expect_whoami(&function, door, "bob").await;
    });
}

/// The seeded world's AWS, which answers only once it is `open`.
pub(super) async fn held_aws(open: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let moto = world().endpoint.trim_start_matches("http://").to_owned();
    spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (mut open, moto) = (open.clone(), moto.clone());
            spawn(async move {
                if open.wait_for(|open| *open).await.is_ok()
                    && let Ok(mut server) = TcpStream::connect(moto).await
                {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    endpoint
}

#[test]
fn a_call_that_runs_out_of_time_is_answered() {
    each_mode(async |mode| {
        let (gate, open) = watch::channel(false);
        let setup = Setup::new()
            .endpoint(&held_aws(open).await)
            .with("/server/allowedOrigins", json!(["https://app.example.com"]));
        let mut function = mode.start(setup).await;
        let call = Request::legacy("whoami", &json!({}))
            .bearer(&token("alice"))
            .header("Origin", "https://app.example.com");
        for &door in mode.doors() {
            // With time to try, and with none. How soon the answer comes, a busy machine decides: here it is waited for.
            for time in [1_000, 400].map(Duration::from_millis) {
                let event = door.event(&call).to_string();
                let answer = answered(door, &function.invoke_late(event, time).await);
                assert_eq!((answer.status, answer.code()), (504, -32000), "{door:?}");
                // A page can read it.
                assert_eq!(
                    answer.header("access-control-allow-origin"),
                    Some("https://app.example.com"),
                    "{door:?}"
                );
            }
            // What needs no AWS is answered however little time there is.
            let event = door.event(&Request::get("/healthz")).to_string();
            let time = Duration::from_millis(400);
            let answer = answered(door, &function.invoke_late(event, time).await);
            assert_eq!(answer.json()["route"], "/healthz", "{door:?}");
        }
        gate.send_replace(true);
        expect_whoami(&function, mode.doors()[0], "alice").await;
        function.assert_alive();
    });
}

/// An S3 whose one bucket has no end: every page is full, of keys of 1,000 characters that begin with the prefix.
pub(super) async fn endless_s3() -> String {
    let list = |uri: Uri| async move {
        let query: HashMap<_, _> = url::form_urlencoded::parse(uri.query().unwrap().as_bytes())
            .into_owned()
            .collect();
        let number_of = |name: &str| query.get(name).map(|text| text.parse::<usize>().unwrap());
        let max_keys = number_of("max-keys").unwrap();
        let start = number_of("continuation-token").unwrap_or_default();
        let prefix = query.get("prefix").map_or("", String::as_str);
        let fill = prefix.chars().last().unwrap_or('a').to_string();
        let fill = fill.repeat(988 - prefix.len());
        let objects: String = (start..start + max_keys)
            .map(|number| {
                let key = format!("{prefix}{fill}{number:012}").replace('"', "&quot;");
                format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")
            })
            .collect();
        let next = start + max_keys;
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{next}</NextContinuationToken>{objects}</ListBucketResult>"
        )
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/{bucket}", get(list))
        .route("/{bucket}/", get(list));
    serve(listener, router);
    endpoint
}

#[test]
fn an_answer_that_a_front_door_would_drop_is_an_error() {
    limited(async {
        let mut setup = Setup::new();
        let s3 = "AWS_ENDPOINT_URL_S3".to_owned();
        setup.environment.push((s3, endless_s3().await));
        let function = Function::start(setup).await;
        // ALBs take 1 MB and Lambda 6 MB. Quotes are escaped three times on their way.
        for (door, prefix, fits, does_not) in [
            (FrontDoor::AlbSingle, "", 225, 260),
            (FrontDoor::AlbMulti, "", 225, 260),
            (FrontDoor::AlbMulti, "\"", 36, 44),
            (FrontDoor::RestApi, "", 1_300, 1_500),
            (FrontDoor::FunctionUrl, "\"", 220, 260),
        ] {
            for (keys, expected) in [(fits, true), (does_not, false)] {
                let query = json!({ "bucket": "endless", "prefix": prefix, "max_keys": keys });
                let call = Request::modern("bucket_objects_list", &query).bearer(&token("alice"));
                let invocation = function.invoke(&door.event(&call)).await;
                let Invocation::Response(response) = &invocation else {
                    panic!("{door:?} {keys}: {invocation:?}")
                };
                let bound = match door {
                    FrontDoor::AlbSingle | FrontDoor::AlbMulti => 1_000_000,
                    _ => 6_000_000,
                };
                let size = response.to_string().len();
                assert!(size < bound, "{door:?} {keys}: {size}");
                let answer = answered(door, &invocation);
                assert_eq!(answer.status, 200, "{door:?} {keys}");
                if expected {
                    assert_eq!(answer.content()["count"], keys, "{door:?}");
                    // The bound is no tighter than it must be.
                    assert!(size > bound / 5 * 4, "{door:?} {keys}: {size}");
                } else {
                    assert_eq!(answer.code(), -32000, "{door:?} {keys}");
                    assert_eq!(answer.json()["id"], "one", "{door:?} {keys}");
                }
            }
            expect_whoami(&function, door, "bob").await;
        }
    });
}

#[test]
fn a_batch_of_large_answers_takes_no_more_memory_than_an_instance_has() {
    limited(async {
        let mut setup = Setup::new().with("/server/toolTimeoutSeconds", 60);
        let s3 = "AWS_ENDPOINT_URL_S3".to_owned();
        setup.environment.push((s3, endless_s3().await));
        let function = Function::start(setup).await;
        let call = |id: u32| {
            let query = json!({ "bucket": "endless", "max_keys": 10_000 });
            let params = json!({ "name": "bucket_objects_list", "arguments": query });
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
        };
        let batch: Value = (0..20).map(call).collect();
        let request = Request::post(batch.to_string()).bearer(&token("alice"));
        let door = FrontDoor::HttpApi;
        let event = door.event(&request).to_string();
        let invocation = function.invoke_raw(event, Duration::from_secs(60)).await;
        let answers = answered(door, &invocation).json();
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), 20);
        assert!(answers.iter().all(|one| one["error"]["code"] == -32000));
        // The definitions give a function 256 MiB. One such answer takes 40 MB on its way, and all of them would take 300.
        let peak = function.peak_memory();
        assert!(peak < 180_000_000, "{peak} bytes");
    });
}

#[test]
fn an_id_that_no_answer_could_repeat_is_refused() {
    each_mode(async |mode| {
        let function = mode.start(Setup::new()).await;
        for &door in mode.doors() {
            // Each quote of the id takes four bytes in the answer's event.
            let body = json!({ "jsonrpc": "2.0", "id": "\"".repeat(400_000), "method": "ping" });
            let request = Request::post(body.to_string()).bearer(&token("alice"));
            let invocation = function.invoke(&door.event(&request)).await;
            if let Invocation::Response(response) = &invocation {
                assert!(response.to_string().len() < 1_000_000, "{door:?}");
            }
            let answer = answered(door, &invocation);
            assert_eq!((answer.status, answer.code()), (400, -32600), "{door:?}");
        }
    });
}
