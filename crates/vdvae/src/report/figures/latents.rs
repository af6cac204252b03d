//! Where the latent variables are, and where the information is (figure 4 of the paper, in numbers).

use super::layers::ink;
use super::{Cell, Figure, Table, WIDE, percent, size};
use crate::report::drawing::axis::{Scale, grouped};
use crate::report::drawing::{Ink, Scene, Style};
use crate::report::measure::RunMeasures;

pub(super) const TITLE: &str = "Latents at each resolution";
const ROW: f64 = 46.0;

/// Share of the latent variables, and of the rate, at each resolution.
pub fn figure(run: &RunMeasures) -> Figure {
    let mut table = Table::new(&[
        "resolution",
        "layers",
        "latents",
        "share_of_latents",
        "share_of_latents_up_to_here",
        "share_of_rate",
        "share_of_rate_up_to_here",
    ]);
    for (latents, rate, rate_so_far) in shares(run) {
        let (own, so_far) = latents;
        table.row([
            Cell::Whole(own.resolution as u64),
            Cell::Whole(own.layers as u64),
            Cell::Whole(own.latents),
            Cell::Number(Some(so_far), 4),
            Cell::Number(Some(own.cumulative_share), 4),
            Cell::Number(rate, 4),
            Cell::Number(rate_so_far, 4),
        ]);
    }
    let total: u64 = run.latents.iter().map(|share| share.latents).sum();
    let reading = format!(
        "Most of the {} latent variables of an image are at high resolutions; what they tell need not be. \
         Global structure takes few of them.",
        grouped(total as f64, 0)
    );
    Figure::chart("latents", TITLE, reading, |width| draw(run, width), table)
}

type Share = crate::models::LatentShare;

/// The latents of a resolution and their own share, its share of the rate, and that up to there.
type Row = ((Share, f64), Option<f64>, Option<f64>);

fn shares(run: &RunMeasures) -> Vec<Row> {
    let mut before = (0.0, Some(0.0));
    let shares = run.latents.iter().map(|&share| {
        let rate_so_far = run.rate_share_up_to(share.resolution);
        let own = share.cumulative_share - before.0;
        let rate = rate_so_far.zip(before.1).map(|(now, before)| now - before);
        before = (share.cumulative_share, rate_so_far);
        ((share, own), rate, rate_so_far)
    });
    shares.collect()
}

fn draw(run: &RunMeasures, width: f64) -> Scene {
    let wide = width >= WIDE;
    let (left, right) = (72.0, width - if wide { 170.0 } else { 118.0 });
    let shares = shares(run);
    let mut scene = Scene::new(width, ROW * shares.len() as f64 + 12.0);
    let values = shares
        .iter()
        .flat_map(|((_, own), rate, _)| [Some(*own), *rate]);
    let most = values.flatten().fold(f64::MIN_POSITIVE, f64::max);
    let x = Scale::new((0.0, most), (left, right));
    let sides: Vec<usize> = run.latents.iter().map(|share| share.resolution).collect();
    for (row, ((share, own), rate, _)) in shares.into_iter().enumerate() {
        let top = ROW * row as f64 + 8.0;
        let ink = ink(share.resolution, &sides);
        let name = size(share.resolution);
        scene.text(
            left - 10.0,
            top + 14.0,
            name.clone(),
            Style::SMALL.strong(Ink::TEXT).end(),
        );
        let plural = if share.layers == 1 { "layer" } else { "layers" };
        let layers = format!("{} {plural}", share.layers);
        scene.text(left - 10.0, top + 29.0, layers, Style::SMALL.end());
        let bars = [
            (own, Ink::AXIS, "of the latents"),
            (rate.unwrap_or(0.0), ink, "of the rate"),
        ];
        for (index, (value, ink, what)) in bars.into_iter().enumerate() {
            if index == 1 && rate.is_none() {
                continue;
            }
            let top = top + 17.0 * index as f64;
            let length = x.at(value.max(0.0)) - left;
            let text = format!("{} {what}", percent(value.max(0.0)));
            scene.bar(
                (left, top + 2.0),
                (length.max(1.0), 13.0),
                ink,
                format!("{name}: {text}"),
            );
            scene.text(left + length + 6.0, top + 13.0, text, Style::SMALL);
        }
    }
    scene
}
