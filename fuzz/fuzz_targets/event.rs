//! Lambda events: a request holds what its event says and no more, and its Host decides nothing.
#![no_main]

use http::header::{AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING};
use libfuzzer_sys::fuzz_target;
use rolecall::{auth::BearerToken, fuzzing::request_of_event, json};
use serde_json::{Value, json};

const BASE_PATH: &str = "/tools";

fuzz_target!(|event: &str| {
    let Ok(request) = request_of_event(event, BASE_PATH) else {
        return;
    };
    assert_eq!(json::check(event.as_bytes()), Ok(()));
    let document: Value = serde_json::from_str(event).expect("JSON");
    let uri = request.uri();
    assert!(uri.scheme().is_none() && uri.authority().is_none(), "{uri}");
    assert!(
        uri.path().starts_with('/') && !uri.path().contains(['\r', '\n', ' ', '#']),
        "{uri}"
    );

    // The path is the event's, less its stage or the base path.
    let is_v2 = document["requestContext"]["http"].is_object() && document.get("rawPath").is_some();
    let is_v2 = is_v2
        && document["requestContext"]
            .get("elb")
            .is_none_or(Value::is_null);
    let path = if is_v2 {
        &document["rawPath"]
    } else {
        &document["path"]
    };
    let path = path.as_str().expect("a path");
    let stage = document["requestContext"]["stage"]
        .as_str()
        .unwrap_or_default();
    let without = |prefix: &str| path.strip_prefix(prefix);
    let allowed = [
        Some(path),
        without(BASE_PATH),
        without(&format!("/{stage}")),
    ];
    assert!(allowed.contains(&Some(uri.path())), "{path:?} became {uri}");

    // Nothing in a header can end it, and none is lost or made up.
    for value in request.headers().values() {
        assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)));
    }
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        assert!(!request.headers().contains_key(framing));
    }
    let lists = document["multiValueHeaders"].as_object().filter(|_| !is_v2);
    let came: usize = match lists {
        Some(lists) => authorizations(lists)
            .map(|values| values.as_array().map_or(0, Vec::len))
            .sum(),
        None => document["headers"]
            .as_object()
            .map_or(0, |all| authorizations(all).count()),
    };
    let values = request.headers().get_all(AUTHORIZATION).iter().count();
    assert_eq!(values, came, "every Authorization that came is seen");
    if values > 1 {
        assert!(
            BearerToken::from_headers(request.headers()).is_err(),
            "two are refused"
        );
    }

    // Whatever Host says, the request goes to the same place.
    for host in ["evil.example", "evil.example/x?y=", "a b", "[", "h:99999"] {
        let mut other = document.clone();
        for (member, value) in [
            ("headers", json!(host)),
            ("multiValueHeaders", json!([host])),
        ] {
            let Some(all) = other.get_mut(member).and_then(Value::as_object_mut) else {
                continue;
            };
            for (name, held) in all.iter_mut() {
                if name.eq_ignore_ascii_case("host") {
                    *held = value.clone();
                }
            }
        }
        let again =
            request_of_event(&other.to_string(), BASE_PATH).expect("a request all the same");
        assert_eq!(again.uri(), uri);
        assert_eq!(again.method(), request.method());
    }
});

fn authorizations(headers: &serde_json::Map<String, Value>) -> impl Iterator<Item = &Value> {
    headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        .map(|(_, value)| value)
}
