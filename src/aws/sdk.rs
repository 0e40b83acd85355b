//! The SDK's configuration: one HTTP client, one set of budgets.
//!
//! Owns the process's own credentials and the limits of every request to AWS: an attempt takes at most 2 s, a
//! connection 1 s, a request at most three attempts and 8 s in all.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::tls;
use tokio::sync::OnceCell;

use crate::config::AwsSection;

/// The SDK, configured on first use: looking for credentials and a region takes time, and the network.
pub struct Sdk {
    region: Option<String>,
    shared: OnceCell<Arc<SdkConfig>>,
}

impl Sdk {
    /// An SDK that will be configured by `section` and by the SDK's own variables and files.
    pub fn new(section: &AwsSection) -> Self {
        Self {
            region: section.region.clone(),
            shared: OnceCell::new(),
        }
    }

    /// The configuration that every client starts from, with the process's own credentials.
    pub async fn shared(&self) -> Arc<SdkConfig> {
        Arc::clone(self.shared.get_or_init(|| self.load()).await)
    }

    async fn load(&self) -> Arc<SdkConfig> {
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(
                tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(8))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_secs(1));
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client)
            .timeout_config(timeouts)
            .retry_config(retries);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        Arc::new(loader.load().await)
    }
}
