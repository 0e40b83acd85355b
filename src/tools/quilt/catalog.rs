//! `catalog_info`: what the configured catalog says of itself, to anybody who asks.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::ToolError;
use crate::{
    config::FetchUrl,
    context::RuntimeContext,
    egress::{Egress, EgressError, Fetch},
};

/// A Quilt catalog.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CatalogInfo {
    /// The catalog's URL.
    catalog_url: String,
    /// The URL of its registry, which issues its tokens and answers its queries.
    registry_url: String,
    /// Its name; null if it does not say.
    name: Option<String>,
    /// The AWS region it lives in; null if it does not say.
    region: Option<String>,
}

/// The members of a catalog's `config.json` that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogConfig {
    registry_url: FetchUrl,
    name: Option<String>,
    region: Option<String>,
}

pub(super) async fn info(
    egress: Arc<Egress>,
    catalog: Option<FetchUrl>,
) -> Result<CatalogInfo, ToolError> {
    RuntimeContext::current()?;
    let catalog = catalog.ok_or_else(|| {
        ToolError::new(
            "No Quilt catalog is configured. Ask whoever runs this server to set `quilt.catalog`.",
        )
    })?;
    let url = config_url(&catalog).ok_or_else(ToolError::internal)?;
    let fetched = egress
        .fetch(Fetch::get(url))
        .await
        .map_err(|error| unreachable(&error))?;
    if !fetched.status.is_success() {
        return Err(ToolError::new(format!(
            "The Quilt catalog answered with status {}. Try again later; if that lasts, ask whoever runs this server to check `quilt.catalog`.",
            fetched.status.as_u16()
        )));
    }
    let config: CatalogConfig = serde_json::from_slice(&fetched.body).map_err(|_| {
        ToolError::new("What answered is not a Quilt catalog: its config.json names no registry. Ask whoever runs this server to check `quilt.catalog`.")
    })?;
    Ok(CatalogInfo {
        catalog_url: catalog.as_str().to_owned(),
        registry_url: config.registry_url.as_str().to_owned(),
        name: config.name,
        region: config.region,
    })
}

/// `config.json` below the catalog's URL.
fn config_url(catalog: &FetchUrl) -> Option<FetchUrl> {
    let mut url = catalog.url().clone();
    url.set_query(None);
    url.set_path(&format!("{}/config.json", url.path().trim_end_matches('/')));
    FetchUrl::parse(url.as_str()).ok()
}

/// The caller cannot do anything about the operator's network; which rule or fault it was is in the log.
fn unreachable(error: &EgressError) -> ToolError {
    ToolError::new(match error {
        EgressError::Forbidden(_) | EgressError::Untrusted(_) => {
            "This server does not trust the Quilt catalog that it is configured for. Ask whoever runs it; the reason is in its log."
        }
        EgressError::TimedOut
        | EgressError::Unreachable
        | EgressError::Unresolved
        | EgressError::TooLarge
        | EgressError::Broken => {
            "The Quilt catalog cannot be reached, or does not answer as it should. Try again later; if that lasts, ask whoever runs this server."
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lies_below_the_catalog() {
        for (catalog, document) in [
            ("https://c.example.com", "https://c.example.com/config.json"),
            (
                "https://c.example.com/",
                "https://c.example.com/config.json",
            ),
            (
                "https://c.example.com:8443/a/b/?x=y",
                "https://c.example.com:8443/a/b/config.json",
            ),
        ] {
            let catalog = FetchUrl::parse(catalog).unwrap();
            assert_eq!(config_url(&catalog).unwrap().as_str(), document);
        }
    }
}
