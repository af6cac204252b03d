//! Table 1 of the paper, of these runs.

use super::{Cell, Figure, Graphic, Table};
use crate::report::drawing::axis::grouped;
use crate::report::measure::RunMeasures;

/// Parameters, depth, network evaluations and bits per dimension.
pub fn figure(runs: &[RunMeasures]) -> Figure {
    let mut table = Table::new(&[
        "run",
        "data",
        "split",
        "step",
        "parameters",
        "stochastic depth",
        "network evaluations per sample",
        "bits/dim",
        "standard error",
        "distortion",
        "rate",
        "images",
        "evaluations keeping earlier pixels",
    ]);
    for run in runs {
        let means = run.evaluation.as_ref().map(|evaluation| &evaluation.means);
        let bits = |nats: f64| crate::likelihood::units::bits(nats);
        let number = |of: &dyn Fn(&crate::evaluate::Evaluation) -> f64, decimals| {
            Cell::Number(means.map(of), decimals)
        };
        let evaluated = run.evaluation.as_ref();
        let data = evaluated.map_or(&run.data, |evaluation| &evaluation.data);
        let split = evaluated.map_or("–", |evaluation| &evaluation.split);
        table.row([
            Cell::Text(run.name.clone()),
            Cell::Text(data.clone()),
            Cell::Text(split.to_owned()),
            run.step.map_or(Cell::Number(None, 0), Cell::Whole),
            Cell::Whole(run.parameters),
            Cell::Whole(run.depth as u64),
            Cell::Whole(run.network_evaluations_per_sample),
            number(&|means| means.bits_per_dim, 3),
            Cell::Number(means.and_then(|means| means.stderr_bits_per_dim), 3),
            number(&|means| bits(means.distortion_nats_per_dim), 3),
            number(&|means| bits(means.rate_nats_per_dim), 3),
            means.map_or(Cell::Number(None, 0), |means| {
                Cell::Whole(means.images as u64)
            }),
            Cell::Number(run.network_evaluations_per_sample_cached, 2),
        ]);
    }
    Figure {
        name: "summary",
        title: "The runs in numbers".to_owned(),
        reading: reading(runs),
        graphic: Graphic::Table,
        table: Some(table),
    }
}

fn reading(runs: &[RunMeasures]) -> String {
    let run = &runs[0];
    let values = grouped(run.dimensions as f64, 0);
    let mut text = "Lower bits/dim are better. ".to_owned();
    text += &match run.network_evaluations_per_sample_cached {
        None => format!(
            "A sample takes one pass of the network; an autoregressive model takes one for each of the {values} values \
             of an image."
        ),
        Some(cached) => format!(
            "A sample takes {} passes of the network by the plain sampler; with what is kept of earlier pixels the \
             arithmetic of {}.",
            grouped(run.network_evaluations_per_sample as f64, 0),
            grouped(cached, 2)
        ),
    };
    // In words alone: numbers of a table are the same on every machine.
    if let Some(sampling) = &run.sampling {
        text += &format!(
            " The machine that made this report took {:.3} s for each of {} samples, {} at once.",
            sampling.seconds / sampling.images as f64,
            sampling.images,
            sampling.batch
        );
    }
    let part = runs
        .iter()
        .filter_map(|run| run.evaluation.as_ref())
        .any(|evaluation| evaluation.means.images < evaluation.images_in_split);
    if part {
        text.push_str(" Not all images of the split were evaluated; --images N takes more.");
    }
    text
}
