// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! `balancer [CONFIG]`: serves until it is ended.

fn main() {}
