// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! What servers rarely do, told by a fake one.

mod api;
mod fake;
mod refusals;
mod registry;
