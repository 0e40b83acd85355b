//! How a tool says how far it is.

use tokio::sync::mpsc;

/// One report: MCP's `notifications/progress` without the token.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgressUpdate {
    /// How much is done: never less than in the report before.
    pub progress: f64,
    /// How much there is, where that is known.
    pub total: Option<f64>,
    /// What is being done, for people.
    pub message: Option<String>,
}

/// Where a tool reports its progress. Reports go nowhere if the client did not ask for them.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<mpsc::Sender<ProgressUpdate>>);

impl Progress {
    /// Reports that are received at the other end of `sender`.
    pub fn new(sender: mpsc::Sender<ProgressUpdate>) -> Self {
        Self(Some(sender))
    }

    /// Reports that nobody asked for.
    pub fn ignored() -> Self {
        Self(None)
    }

    /// Reports `progress` of `total`. A client that does not read fast enough misses reports, and slows nobody down.
    pub fn report(&self, progress: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(ProgressUpdate {
                progress,
                total,
                message: Some(message.into()),
            });
        }
    }
}
