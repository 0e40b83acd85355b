//! Rolecall as an OAuth resource server.

mod resource;
