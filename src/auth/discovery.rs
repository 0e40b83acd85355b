//! From an issuer's name to its published keys.
//!
//! Owns the two documents that are fetched on the way: the issuer's metadata, which must say of itself that it is this
//! issuer's, and the key set that it points to. In come the issuer and its setting; out go its keys.
//! Source: OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3; RFC 7517, section 5.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use serde::Deserialize;

use super::{KeyError, jwk::PublicKeys, keys::KeySet};
use crate::{
    config::{FetchUrl, JwksSetting},
    egress::{Egress, Fetch, Fetched},
    json,
};

/// All that a caller waits for an issuer's documents: less than the 5 s in which a bad token must have its answer.
const BUDGET: Duration = Duration::from_secs(4);

/// Loads the keys of an issuer.
pub(super) async fn load(
    issuer: Arc<str>,
    setting: JwksSetting,
    egress: Arc<Egress>,
) -> Result<KeySet, KeyError> {
    let loading = async {
        let url = match setting {
            JwksSetting::Url(url) => url,
            JwksSetting::Discover => discover(&issuer, &egress).await?,
        };
        let document = found(fetch(&egress, url).await?, "the key set")?;
        let keys = PublicKeys::parse(&document.body);
        keys.map(KeySet::Public)
            .map_err(|reason| KeyError::Unusable(format!("the key set: {reason}")))
    };
    let loaded = tokio::time::timeout(BUDGET, loading).await;
    loaded.unwrap_or_else(|_| {
        Err(KeyError::Unavailable(
            "it does not answer in time".to_owned(),
        ))
    })
}

/// Where the issuer's metadata says that its keys are.
async fn discover(issuer: &str, egress: &Egress) -> Result<FetchUrl, KeyError> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let [openid, oauth] = documents(issuer).ok_or_else(|| {
        KeyError::Unusable("the issuer's name is no URL to discover from".to_owned())
    })?;
    let mut document = fetch(egress, openid).await?;
    if document.status == StatusCode::NOT_FOUND {
        document = fetch(egress, oauth).await?;
    }
    let document = found(document, "the metadata")?;
    let metadata: Metadata = json::read(&document.body).map_err(|_| {
        KeyError::Unusable("the metadata is no JSON object with `issuer` and `jwks_uri`".to_owned())
    })?;
    // Section 4.3, RFC 8414 section 3.3: or one issuer could speak for another.
    if metadata.issuer != issuer {
        return Err(KeyError::Unusable(
            "the metadata is of another issuer".to_owned(),
        ));
    }
    FetchUrl::parse(&metadata.jwks_uri)
        .map_err(|reason| KeyError::Unusable(format!("the metadata's `jwks_uri`: {reason}")))
}

/// The two places of an issuer's metadata: OpenID Connect appends to its path, RFC 8414 inserts before it.
fn documents(issuer: &str) -> Option<[FetchUrl; 2]> {
    let url = FetchUrl::parse(issuer).ok()?;
    let path = url.url().path().trim_end_matches('/');
    let with_path = |path: &str| {
        let mut document = url.url().clone();
        document.set_path(path);
        document.set_query(None);
        FetchUrl::parse(document.as_str()).ok()
    };
    Some([
        with_path(&format!("{path}/.well-known/openid-configuration"))?,
        with_path(&format!("/.well-known/oauth-authorization-server{path}"))?,
    ])
}

async fn fetch(egress: &Egress, url: FetchUrl) -> Result<Fetched, KeyError> {
    egress
        .fetch(Fetch::get(url))
        .await
        .map_err(|error| KeyError::of_egress(&error))
}

/// A document, if that is what came.
fn found(fetched: Fetched, what: &str) -> Result<Fetched, KeyError> {
    match fetched.status.as_u16() {
        200 => Ok(fetched),
        429 | 500..=599 => Err(KeyError::Unavailable(format!(
            "{what}: status {}",
            fetched.status.as_u16()
        ))),
        status => Err(KeyError::Unusable(format!("{what}: status {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_in_two_places() {
        let of =
            |issuer: &str| documents(issuer).map(|urls| urls.map(|url| url.as_str().to_owned()));
        assert_eq!(
            of("https://idp.example.com"),
            Some([
                "https://idp.example.com/.well-known/openid-configuration".to_owned(),
                "https://idp.example.com/.well-known/oauth-authorization-server".to_owned(),
            ])
        );
        let expected = Some([
            "https://idp.example.com/realms/a/.well-known/openid-configuration".to_owned(),
            "https://idp.example.com/.well-known/oauth-authorization-server/realms/a".to_owned(),
        ]);
        assert_eq!(of("https://idp.example.com/realms/a"), expected);
        assert_eq!(of("https://idp.example.com/realms/a/"), expected);
        assert_eq!(of("quilt-frontend"), None);
    }
}
