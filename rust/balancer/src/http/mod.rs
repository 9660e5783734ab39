// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! HTTP/1.1: heads, framing, limits, a small server and client.

pub mod body;
pub mod client;
pub mod conn;
pub mod head;
pub mod message;
pub mod receive;
pub mod server;

pub use message::{Reply, Request};
