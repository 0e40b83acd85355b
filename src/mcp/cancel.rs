//! Calls in progress, so that a notification can end one.
//!
//! Owns [`InFlight`]. Over HTTP a modern client cancels by closing its stream; a legacy one, and any on stdio, sends
//! `notifications/cancelled` with the request's id. Ids are the client's own, so a call is found by its owner and its
//! id, and only if that means one call. Best effort by nature: the notification may reach another instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::Id;
use crate::context::{Environment, RuntimeContext};

type Calls = HashMap<(Owner, Id), Vec<Arc<Notify>>>;

/// The calls of this process that can be cancelled by a notification.
#[derive(Default)]
pub(super) struct InFlight(Arc<Mutex<Calls>>);

/// Whose call it is. A caller without a name can cancel nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    Stdio,
    Principal { issuer: String, subject: String },
}

impl Owner {
    fn of(context: &RuntimeContext) -> Option<Self> {
        match (context.environment(), context.principal()) {
            (Environment::DesktopStdio, _) => Some(Self::Stdio),
            (_, Some(principal)) => Some(Self::Principal {
                issuer: principal.issuer().to_owned(),
                subject: principal.subject().to_owned(),
            }),
            (_, None) => None,
        }
    }
}

/// A call that is listed as long as this lives.
pub(super) struct Listed {
    calls: Arc<Mutex<Calls>>,
    key: (Owner, Id),
    cancelled: Arc<Notify>,
}

impl InFlight {
    /// Lists a call; `None` if nobody could name it.
    pub(super) fn list(&self, context: &RuntimeContext, id: &Id) -> Option<Listed> {
        let key = (Owner::of(context)?, id.clone());
        let cancelled = Arc::new(Notify::new());
        lock(&self.0)
            .entry(key.clone())
            .or_default()
            .push(Arc::clone(&cancelled));
        Some(Listed {
            calls: Arc::clone(&self.0),
            key,
            cancelled,
        })
    }

    /// Ends the call that `notifications/cancelled` names, if it is the sender's and there is just one.
    pub(super) fn cancel(&self, context: &RuntimeContext, params: Option<&Bytes>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled<'a> {
            #[serde(borrow)]
            request_id: &'a RawValue,
        }
        let Some(params) = params else { return };
        let Ok(Cancelled { request_id }) = serde_json::from_slice(params) else {
            return;
        };
        let (Some(owner), Some(id)) = (Owner::of(context), Id::read(params, request_id)) else {
            return;
        };
        if let Some([call]) = lock(&self.0).get(&(owner, id)).map(Vec::as_slice) {
            call.notify_one();
        }
    }
}

impl Listed {
    /// Waits until the call is cancelled.
    pub(super) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut calls = lock(&self.calls);
        if let Some(listed) = calls.get_mut(&self.key) {
            listed.retain(|call| !Arc::ptr_eq(call, &self.cancelled));
            if listed.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    // Nothing panics while the lock is held; a poisoned one still guards a whole map.
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
