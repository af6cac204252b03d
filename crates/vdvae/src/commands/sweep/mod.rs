//! `vdvae sweep`: the same experiment in several variations, one after the other.
//!
//! All in this process: the images that were decoded, the pool and the memory of one run serve the next,
//! and Ctrl-C reaches the run under way. A run that panics is kept apart like one that fails.

mod plan;
mod table;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use indicatif::HumanDuration;

use super::data::open_data;
use super::session::train;
use super::{make_folder, print_json, reading_threads};
use crate::cli::SweepArgs;
use crate::console::tell;
use crate::device;
use crate::error::message;
use crate::evaluate::{EvaluateOptions, Evaluation};
use crate::files::write_atomically;
use crate::folder_lock::FolderLock;
use crate::signals::{INTERRUPTED, stop_at_first};
use crate::trained::TrainedModel;
use plan::{Planned, plan};
use table::{Failure, Row, Table};

/// How a run of the set ended.
enum Ending {
    Finished(Box<Row>),
    /// By Ctrl-C; saved.
    Stopped,
}

pub fn run(arguments: &SweepArgs) -> Result<ExitCode> {
    let planned = plan(arguments)?;
    make_folder(&arguments.out)?;
    let what = format!("--out {}", arguments.out.display());
    let _lock = FolderLock::take(&arguments.out, &what)?;
    let stop = stop_at_first();
    let mut table = Table::default();
    let mut seconds = Vec::new();
    let (count, mut waiting) = (planned.len(), planned.len());
    for (number, run) in (1..).zip(&planned) {
        waiting -= 1;
        if let Some(row) = finished(run) {
            table.rows.push(row);
            continue;
        }
        announce(run, (number, count), waiting, &seconds);
        let began = Instant::now();
        match guarded(arguments, run, &stop) {
            Ok(Ending::Finished(row)) => table.rows.push(*row),
            Ok(Ending::Stopped) => break,
            Err(error) => {
                let failure = Failure::new(run, message(&error));
                tell(format_args!(
                    "failed: {}: {}",
                    failure.name(),
                    failure.error
                ));
                table.failures.push(failure);
            }
        }
        seconds.push(began.elapsed().as_secs_f64());
        table.save(&arguments.out)?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    table.save(&arguments.out)?;
    if arguments.json {
        print_json(&table)?;
    } else {
        table.print()?;
    }
    Ok(end(arguments, &table, count))
}

/// Says what is missing; the exit code.
fn end(arguments: &SweepArgs, table: &Table, count: usize) -> ExitCode {
    let (done, failed) = (table.rows.len(), table.failures.len());
    let folder = arguments.out.display();
    if done + failed < count {
        tell(format_args!(
            "stopped and saved, {done} of {count} runs are finished; the same command goes on"
        ));
        ExitCode::from(INTERRUPTED)
    } else if failed > 0 {
        tell(format_args!(
            "{failed} of {count} runs failed; the same command tries them again. {folder}/table.csv has the others"
        ));
        ExitCode::FAILURE
    } else {
        tell(format_args!(
            "{folder}/table.csv, {folder}/table.json, {folder}/figure.svg"
        ));
        ExitCode::SUCCESS
    }
}

/// What comes now, and how long all that comes will take if it is like what was.
fn announce(run: &Planned, (number, count): (usize, usize), waiting: usize, seconds: &[f64]) {
    let left = if seconds.is_empty() {
        String::new()
    } else {
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        let left = Duration::try_from_secs_f64(mean * (waiting + 1) as f64);
        format!(
            ", about {} left",
            HumanDuration(left.unwrap_or(Duration::MAX))
        )
    };
    tell(format_args!(
        "run {number} of {count}: {}, seed {}{left}",
        run.name, run.seed
    ));
}

/// The row of a run that was made before, by the same configuration.
fn finished(run: &Planned) -> Option<Row> {
    let text = std::fs::read_to_string(run.result_file()).ok()?;
    let row: Row = serde_json::from_str(&text).ok()?;
    Some(row.of(&*run.config.plan().ok()?))
}

/// One run; a panic is an error like others, for the sake of the runs after it.
fn guarded(arguments: &SweepArgs, run: &Planned, stop: &Arc<AtomicBool>) -> Result<Ending> {
    catch_unwind(AssertUnwindSafe(|| one(arguments, run, stop))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow!(
            "a fault of this program: {}",
            text.unwrap_or("a panic without a message")
        ))
    })
}

fn one(arguments: &SweepArgs, run: &Planned, stop: &Arc<AtomicBool>) -> Result<Ending> {
    let outcome = train(&run.arguments, &run.folder, || stop.clone())?;
    if !outcome.finished {
        return Ok(Ending::Stopped);
    }
    let Some(evaluation) = test(arguments, run, stop)? else {
        return Ok(Ending::Stopped);
    };
    let row = Row::new(run, &*run.config.plan()?, &evaluation, &outcome);
    let text = serde_json::to_string(&row)?;
    let path = run.result_file();
    write_atomically(&path, |writer| writer.write_all(text.as_bytes()))
        .with_context(|| format!("{}: cannot save the result", path.display()))?;
    // From the file, as next time: the last digit must not depend on which runs were made now.
    let row = serde_json::from_str(&text)?;
    Ok(Ending::Finished(Box::new(row)))
}

/// The run's best averaged weights on the whole test split; nothing if it was stopped.
fn test(arguments: &SweepArgs, run: &Planned, stop: &AtomicBool) -> Result<Option<Evaluation>> {
    let device = device::parse(&arguments.machine.device)?;
    let model = TrainedModel::load(&run.folder, None, device)?
        .rounding_to(arguments.machine.dtype.unwrap_or_default());
    let (_, _, dataset) = open_data(&model, None, None, arguments.skip_bad_images)?;
    let options = EvaluateOptions {
        batch: model.config.train.n_batch,
        seed: 0,
        mean_latents: false,
        samples: 1,
        threads: reading_threads(),
        limit: usize::MAX,
    };
    model.evaluate_until(dataset, &options, stop)
}
