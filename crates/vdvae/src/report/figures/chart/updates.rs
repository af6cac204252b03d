//! The horizontal axis of a chart: updates, and the time that they took.

use super::super::plot::Plot;
use crate::report::drawing::axis::{Scale, Ticks, grouped};
use crate::report::drawing::{Scene, Style};

/// The updates of a run, and when they were made.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    /// (update, seconds of training until then), ascending.
    times: Vec<(f64, f64)>,
    /// Whether the seconds are those of all that is drawn.
    timed: bool,
}

impl Updates {
    /// Of what a log tells, (step, seconds).
    pub fn timed(entries: impl Iterator<Item = (u64, f64)>) -> Self {
        let entries = entries.map(|(step, seconds)| (step as f64, seconds));
        let mut times: Vec<(f64, f64)> = entries.collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { times, timed: true }
    }

    /// Of several runs, which took different times.
    pub fn of_several(runs: impl Iterator<Item = Self>) -> Self {
        let last = runs.map(|run| run.last()).fold(0.0, f64::max);
        Self {
            times: vec![(last, 0.0)],
            timed: false,
        }
    }

    /// The last one.
    pub fn last(&self) -> f64 {
        self.times.last().map_or(0.0, |time| time.0)
    }

    /// What the axis takes below a plot, in pixels.
    pub fn height(&self) -> f64 {
        if self.timed { 70.0 } else { 52.0 }
    }

    /// Positions of updates in a plot.
    pub fn across(&self, plot: &Plot) -> Scale {
        plot.across((0.0, self.last().max(1.0)))
    }

    /// Below a plot: updates, the time that it took to get there, and what both are.
    pub fn draw(&self, scene: &mut Scene, plot: &Plot, wide: bool) {
        let x = self.across(plot);
        let ticks = Ticks::whole(self.last(), if wide { 6 } else { 4 });
        let seconds = self.times.last().map_or(0.0, |time| time.1);
        let (unit, length) = unit(seconds);
        let decimals = usize::from(seconds / length < 20.0);
        for (update, text) in ticks.marks() {
            let at = plot.draw_tick(scene, x.at(update), text);
            if self.timed {
                let decimals = if update == 0.0 { 0 } else { decimals };
                let time = grouped(self.seconds_at(update) / length, decimals);
                scene.text(at, plot.bottom + 36.0, time, Style::SMALL.middle());
            }
        }
        if self.timed {
            plot.draw_caption(scene, 55.0, format!("updates, and {unit} of training"));
        } else {
            plot.draw_caption(scene, 38.0, "updates");
        }
    }

    /// Seconds of training at an update, on the straight line between the entries around it.
    fn seconds_at(&self, update: f64) -> f64 {
        let after = self.times.partition_point(|time| time.0 < update);
        let from = after
            .checked_sub(1)
            .map_or((0.0, 0.0), |before| self.times[before]);
        self.times.get(after).map_or(from.1, |&to| {
            Scale::new((from.0, to.0), (from.1, to.1)).at(update)
        })
    }
}

/// The unit in which a duration is a handy number, and its seconds.
pub fn unit(seconds: f64) -> (&'static str, f64) {
    const UNITS: [(&str, f64); 3] = [("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0)];
    let handy = UNITS
        .into_iter()
        .find(|(_, length)| seconds < 120.0 * length);
    handy.unwrap_or(("days", 86400.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_lies_between_the_entries_around_an_update() {
        let updates = Updates::timed([(30, 15.0), (10, 5.0)].into_iter());
        for (update, seconds) in [
            (0.0, 0.0),
            (5.0, 2.5),
            (10.0, 5.0),
            (20.0, 10.0),
            (30.0, 15.0),
            (40.0, 15.0),
        ] {
            assert_eq!(updates.seconds_at(update), seconds, "update {update}");
        }
        let at_start = Updates::timed([(0, 3.0)].into_iter());
        assert_eq!(at_start.seconds_at(0.0), 0.0);
    }

    #[test]
    fn durations_have_handy_units() {
        for (seconds, expected) in [
            (0.0, "seconds"),
            (119.0, "seconds"),
            (120.0, "minutes"),
            (7_199.0, "minutes"),
            (7_200.0, "hours"),
            (431_999.0, "hours"),
            (432_000.0, "days"),
        ] {
            assert_eq!(unit(seconds).0, expected, "{seconds} s");
        }
    }
}
