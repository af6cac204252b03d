//! How the loss fell: the picture of a log.

use super::axis::{Scale, Ticks, grouped, spread};
use super::log::Entry;
use super::svg::{Card, WIDTH};

const HEIGHT: f64 = 440.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 124.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = HEIGHT - 60.0;

/// More points than this are not told apart: a longer training curve is averaged down to it.
const MOST_POINTS: usize = 300;
/// More evaluations than this are a line without dots.
const MOST_DOTS: usize = 60;
/// The share of the run at its start that the vertical axis does not have to show.
const START: f64 = 0.05;
/// The share of the later values that it has to show: a few wild ones do not squash the rest.
const CALM: f64 = 0.95;

/// Bits per dimension that the vertical axis spans at least.
const LEAST_SPAN: f64 = 0.05;

/// Blue and vermilion: told apart with every kind of colour vision.
const TRAINING: &str = "#0072b2";
const VALIDATION: &str = "#d55e00";

/// A loss over the steps: (step, bits per dimension), finite, steps ascending.
struct Series {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
    dots: bool,
    /// The last value before any averaging.
    last: f64,
}

/// The training and validation loss of a run in bits per dimension over its steps, with the elapsed
/// time below them, as an SVG document.
///
/// Training: the means per interval over finite, not skipped steps, averaged further where there are
/// more than the eye tells apart. The first steps and single wild values may leave the chart at its top,
/// which it then says.
pub fn loss_curve_svg(entries: &[Entry], title: &str) -> String {
    let all = series(entries);
    if all.is_empty() {
        let mut card = Card::new(title, "bits per dimension", HEIGHT);
        card.text(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing logged yet");
        return card.finish();
    }
    let last_step = entries.iter().map(Entry::step).max().unwrap_or(0).max(1) as f64;
    let (low, high) = shown(&all, last_step);
    let ticks = Ticks::around(low, high, 6);
    let mut card = Card::new(title, &subtitle(&all, ticks.range().1), HEIGHT);
    let x = Scale::new((0.0, last_step), (LEFT, RIGHT));
    let y = Scale::new(ticks.range(), (BOTTOM, TOP));
    for (value, text) in ticks.marks() {
        card.line((LEFT, y.at(value)), (RIGHT, y.at(value)), "grid");
        card.text(LEFT - 8.0, y.at(value) + 4.0, "end", &text);
    }
    draw_step_axis(&mut card, entries, last_step, &x);
    draw_series(&mut card, &all, (&x, &y));
    card.finish()
}

/// Training and validation, as far as there are values of them.
fn series(entries: &[Entry]) -> Vec<Series> {
    let training = entries.iter().filter_map(|entry| match entry {
        Entry::Train(train) => {
            let value = train
                .elbo_filtered_bits_per_dim
                .or(train.elbo_bits_per_dim)?;
            Some((train.step as f64, value))
        }
        Entry::Valid(_) => None,
    });
    let validation = entries.iter().filter_map(|entry| match entry {
        Entry::Train(_) => None,
        Entry::Valid(valid) => Some((valid.step as f64, valid.bits_per_dim)),
    });
    let training = points(training);
    let validation = points(validation);
    let mut all = Vec::new();
    if let Some(&(_, last)) = training.last() {
        all.push(Series {
            name: "training",
            colour: TRAINING,
            points: averaged(&training),
            dots: training.len() == 1,
            last,
        });
    }
    if let Some(&(_, last)) = validation.last() {
        all.push(Series {
            name: "validation",
            colour: VALIDATION,
            dots: validation.len() <= MOST_DOTS,
            points: validation,
            last,
        });
    }
    all
}

fn points(values: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = values.filter(|(_, value)| value.is_finite()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Means over neighbours, so that at most [`MOST_POINTS`] are left. The last point stays in its place.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(MOST_POINTS).max(1);
    let mut means: Vec<(f64, f64)> = points
        .rchunks(each)
        .map(|chunk| {
            let value = chunk.iter().map(|(_, value)| value).sum::<f64>() / chunk.len() as f64;
            (chunk[chunk.len() - 1].0, value)
        })
        .collect();
    means.reverse();
    means
}

/// The least and the highest value that the vertical axis shows, some distance apart.
fn shown(all: &[Series], last_step: f64) -> (f64, f64) {
    let points = || all.iter().flat_map(|series| &series.points);
    let low = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let later = points().filter(|(step, _)| *step >= START * last_step);
    let mut later: Vec<f64> = later.map(|point| point.1).collect();
    later.sort_by(f64::total_cmp);
    let calm = (CALM * later.len().saturating_sub(1) as f64).ceil() as usize;
    let high = later.get(calm).copied().unwrap_or(low);
    // Every curve's end is labelled, so it has to be there.
    let ends = all.iter().filter_map(|series| series.points.last());
    let high = ends.map(|point| point.1).fold(high, f64::max);
    let missing = (LEAST_SPAN - (high - low)).max(0.0);
    (low - missing / 2.0, high + missing / 2.0)
}

fn subtitle(all: &[Series], top: f64) -> String {
    let points = all.iter().flat_map(|series| &series.points);
    let highest = points
        .map(|point| point.1)
        .fold(f64::NEG_INFINITY, f64::max);
    let mut text = String::from("bits per dimension, lower is better");
    if highest > top {
        text.push_str(&format!("; values up to {highest:.2} lie above the chart"));
    }
    text
}

/// Steps, and below them the time that training took to get there.
fn draw_step_axis(card: &mut Card, entries: &[Entry], last_step: f64, x: &Scale) {
    card.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    let times = times(entries);
    let total = times.last().map_or(0.0, |&(_, seconds)| seconds);
    let (unit, seconds_per_unit) = unit(total);
    let decimals = usize::from(total / seconds_per_unit < 20.0);
    card.text(LEFT - 16.0, BOTTOM + 20.0, "end", "steps");
    card.text(LEFT - 16.0, BOTTOM + 38.0, "end", unit);
    for (step, text) in Ticks::whole(last_step, 6).marks() {
        let at = x.at(step);
        card.line((at, BOTTOM), (at, BOTTOM + 5.0), "axis");
        card.text(at, BOTTOM + 20.0, "middle", &text);
        let time = time_at(&times, step) / seconds_per_unit;
        let decimals = if step == 0.0 { 0 } else { decimals };
        card.text(at, BOTTOM + 38.0, "middle", &grouped(time, decimals));
    }
}

/// (step, seconds of training), ascending, from (0, 0).
fn times(entries: &[Entry]) -> Vec<(f64, f64)> {
    let logged = entries
        .iter()
        .map(|entry| (entry.step() as f64, entry.seconds()));
    let mut times: Vec<_> = std::iter::once((0.0, 0.0)).chain(logged).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    times
}

/// Seconds of training at a step, on the straight line between the entries around it.
fn time_at(times: &[(f64, f64)], step: f64) -> f64 {
    let after = times.partition_point(|&(earlier, _)| earlier < step);
    match (
        after.checked_sub(1).map(|before| times[before]),
        times.get(after),
    ) {
        (Some(from), Some(&to)) => Scale::new((from.0, to.0), (from.1, to.1)).at(step),
        (None, Some(&(_, seconds))) | (Some((_, seconds)), None) => seconds,
        (None, None) => 0.0,
    }
}

/// The unit in which a duration is a handy number, and its seconds.
fn unit(seconds: f64) -> (&'static str, f64) {
    const UNITS: [(&str, f64); 3] = [("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0)];
    let handy = UNITS
        .into_iter()
        .find(|(_, length)| seconds < 120.0 * length);
    handy.unwrap_or(("days", 86400.0))
}

/// The curves, then a label at each one's end: its name and its last value.
fn draw_series(card: &mut Card, all: &[Series], (x, y): (&Scale, &Scale)) {
    // As far as half a dot beyond the axes.
    let clip = card.clip([LEFT, TOP, RIGHT + 4.0, BOTTOM + 4.0]);
    for series in all {
        let place = |&(step, value): &(f64, f64)| (x.at(step), y.at(value));
        let places: Vec<(f64, f64)> = series.points.iter().map(place).collect();
        card.curve(&places, series.colour, &clip);
        if series.dots {
            for dot in places.into_iter().filter(|&(_, height)| height >= TOP) {
                card.dot(dot, series.colour);
            }
        }
    }
    let mut labels: Vec<(f64, &Series)> = all
        .iter()
        .filter_map(|series| series.points.last().map(|end| (y.at(end.1), series)))
        .collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
    for (height, (_, series)) in spread(&wanted, 17.0, TOP, BOTTOM).into_iter().zip(labels) {
        let text = format!("{} {:.2}", series.name, series.last);
        card.label(RIGHT + 10.0, height + 4.0, "label", &text, series.colour);
    }
}

#[cfg(test)]
mod tests;
