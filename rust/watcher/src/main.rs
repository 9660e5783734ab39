// SPDX-FileCopyrightText: 2026 The wasinn.cluster authors
// SPDX-License-Identifier: Apache-2.0
//! `watcher`: keeps the registry of a balancer in another pod equal to the cluster.

mod args;

use std::io::Write;
use std::process::ExitCode;

use log::LevelFilter;
use tokio::sync::watch::{channel, Receiver};
use wasinn_watcher::registry::Registry;
use wasinn_watcher::{logging, watch, Config, Snapshot};

use args::Args;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("watcher: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let args = Args::parse(std::env::args().skip(1))?;
    if args.flag("--help") {
        println!("{}", args::USAGE);
        return Ok(());
    }
    if args.flag("--version") {
        println!("watcher {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    logging::init(if args.flag("--verbose") {
        LevelFilter::Debug
    } else {
        LevelFilter::Info
    });
    let config = config(&args)?;
    config.check()?;
    let registry = match (args.option("--balancer"), args.option("--token-file")) {
        (Some(url), Some(file)) if !args.flag("--print") => Some(Registry::new(url, file.into())?),
        _ => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("The event loop cannot be made: {error}."))?;
    runtime.block_on(async {
        let (updates, snapshots) = channel(Snapshot::default());
        let work = async {
            match registry {
                Some(registry) => registry.keep(snapshots).await,
                None => print(snapshots).await,
            }
        };
        tokio::select! {
            never = watch(config, updates) => never,
            result = work => result,
        }
    })
}

fn config(args: &Args) -> Result<Config, String> {
    let mut config = match (args.option("--api"), args.option("--namespace")) {
        (Some(api), Some(namespace)) => Config::new(api.into(), namespace.into()),
        (Some(_), None) => return Err("--api needs --namespace; see --help.".into()),
        _ => Config::in_cluster()?,
    };
    let text = |name, place: &mut String| {
        args.option(name)
            .into_iter()
            .for_each(|value| *place = value.into())
    };
    text("--namespace", &mut config.namespace);
    text("--selector", &mut config.selector);
    config.ca_file = args.option("--ca-file").map_or(config.ca_file, Into::into);
    config.token_file = args
        .option("--api-token-file")
        .map_or(config.token_file, Into::into);
    Ok(config)
}

/// A line of JSON for each snapshot, until nobody reads them.
async fn print(mut snapshots: Receiver<Snapshot>) -> Result<(), String> {
    while snapshots.changed().await.is_ok() {
        let mut line = serde_json::to_vec(&*snapshots.borrow_and_update()).unwrap_or_default();
        line.push(b'\n');
        let mut out = std::io::stdout();
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}
