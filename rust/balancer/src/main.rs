// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0

//! `balancer [CONFIG]`: serves until it is ended.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::sync::watch::channel;
use tokio::task::spawn_local;
use wasinn_balancer::config::Config;
use wasinn_balancer::{admin, http, proxy, runtime, App};

const USAGE: &str = "\
usage: balancer [CONFIG]

Balances OpenAI requests over LlamaEdge pods: clients at port 8080, /metrics and probes at 9090, admin API at 9091.
CONFIG is a TOML file, /etc/balancer/config.toml if there is one; --print-defaults shows every setting.

options: --print-defaults, --check-config FILE, --version, --help";

/// The file that is read where no other is named; it may be missing.
const CONFIG: &str = "/etc/balancer/config.toml";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = match words[..] {
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["--version"] => {
            println!("balancer {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["--print-defaults"] => {
            print!("{}", Config::defaults());
            return ExitCode::SUCCESS;
        }
        ["--check-config", file] => match Config::load(Path::new(file)) {
            Ok(_) => {
                println!("{file} is a valid configuration.");
                return ExitCode::SUCCESS;
            }
            Err(sentence) => Err(sentence),
        },
        [] if !Path::new(CONFIG).exists() => Ok(Config::default()),
        [] => Config::load(Path::new(CONFIG)),
        [file] if !file.starts_with('-') => Config::load(Path::new(file)),
        _ => Err(format!(
            "'{}' is no argument of mine: see --help.",
            words.join(" ")
        )),
    };
    match started.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("balancer: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run(config: Config) -> Result<(), String> {
    wasinn_watcher::logging::init(log::LevelFilter::Info);
    let watcher = if config.watch {
        Some(wasinn_watcher::Config::in_cluster()?)
    } else {
        None
    };
    runtime::block_on(async {
        let clients = listen(config.listen.http).await?;
        let ops = listen(config.listen.ops).await?;
        let admin = listen(config.listen.admin).await?;
        let app = App::new(config);
        if let Some(watcher) = watcher {
            follow(&app, watcher);
        }
        spawn_local(app.routing.clone().check_health());
        spawn_local(app.keys.clone().reload());
        spawn_local(app.observe.clone().write_log());
        let (for_ops, for_admin) = (app.clone(), app.clone());
        let timeouts = &app.config.timeouts;
        spawn_local(http::server::serve(ops, timeouts.clone(), move |request| {
            admin::ops(for_ops.clone(), request)
        }));
        spawn_local(http::server::serve(
            admin,
            timeouts.clone(),
            move |request| admin::admin(for_admin.clone(), request),
        ));
        proxy::serve(app, clients).await;
        Ok(())
    })
    .map_err(|error| format!("The event loop cannot be made: {error}."))?
}

/// Keeps the routing equal to the cluster.
fn follow(app: &Rc<App>, watcher: wasinn_watcher::Config) {
    let (updates, mut snapshots) = channel(wasinn_watcher::Snapshot::default());
    spawn_local(async move {
        wasinn_watcher::watch(watcher, updates).await;
    });
    let app = app.clone();
    spawn_local(async move {
        while snapshots.changed().await.is_ok() {
            let snapshot = snapshots.borrow_and_update().clone();
            app.routing.apply(&snapshot);
        }
    });
}

async fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener
        .map_err(|error| format!("Cannot listen on {address} ({error}): is another program there?"))
}
