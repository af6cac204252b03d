//! Where the time of a step goes, operation by operation.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ops::profile::Total;

/// The name of what no operation was seen doing: Burn's own operations, scheduling, allocation.
pub const EVERYTHING_ELSE: &str = "everything else";

/// What a machine can do at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Multiplications and additions per second, in units of 1e9.
    pub gflops: f64,
    /// Bytes read plus bytes written per second, in units of 1e9.
    pub gigabytes: f64,
}

/// What the calls of one operation take, on the average over the steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub operation: String,
    /// Calls in a step; none of [`EVERYTHING_ELSE`].
    pub calls: Option<f64>,
    /// Wall time in a step.
    pub seconds: f64,
    /// Part of the step's time, from 0 to 1.
    pub share: f64,
    /// Direct convolution operations per second, in units of 1e9; only of operations with convolutions.
    pub gflops: Option<f64>,
    /// Bytes that must be moved per second, in units of 1e9.
    pub gb_s: Option<f64>,
    /// The shortest time that the limits allow over the time taken. Above 1 where numbers stay in
    /// caches, or where a convolution takes fewer operations than the direct one.
    pub share_of_limit: Option<f64>,
}

/// The operations of `steps` steps that took `seconds` in all, the longest first, then
/// [`EVERYTHING_ELSE`]: the shares add up to 1.
pub fn rows(
    totals: &BTreeMap<String, Total>,
    seconds: f64,
    steps: u64,
    limits: Limits,
) -> Vec<Row> {
    let steps = steps as f64;
    let row = |(name, total): (&String, &Total)| {
        let time = total.time.as_secs_f64();
        let shortest = (total.operations / limits.gflops).max(total.bytes / limits.gigabytes);
        // What is not counted has no rate.
        let per_second = |amount: f64| (amount > 0.0).then_some(1e-9 * amount / time);
        Row {
            operation: name.clone(),
            calls: Some(total.calls as f64 / steps),
            seconds: time / steps,
            share: time / seconds,
            gflops: per_second(total.operations),
            gb_s: per_second(total.bytes),
            share_of_limit: per_second(shortest),
        }
    };
    let mut rows: Vec<Row> = totals.iter().map(row).collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let seen: f64 = rows.iter().map(|row| row.share).sum();
    rows.push(Row {
        operation: EVERYTHING_ELSE.to_owned(),
        calls: None,
        seconds: (1.0 - seen) * seconds / steps,
        share: 1.0 - seen,
        gflops: None,
        gb_s: None,
        share_of_limit: None,
    });
    rows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn total(calls: u64, milliseconds: u64, operations: f64, bytes: f64) -> Total {
        Total {
            calls,
            time: Duration::from_millis(milliseconds),
            operations,
            bytes,
        }
    }

    #[test]
    fn times_rates_and_shares() {
        let totals = BTreeMap::from([
            ("draw".to_owned(), total(4, 100, 0.0, 1e9)),
            ("conv".to_owned(), total(2, 500, 50e9, 1e9)),
            ("noise".to_owned(), total(4, 200, 0.0, 0.0)),
        ]);
        let limits = Limits {
            gflops: 200.0,
            gigabytes: 20.0,
        };
        let rows = rows(&totals, 1.0, 2, limits);
        let names: Vec<&str> = rows.iter().map(|row| row.operation.as_str()).collect();
        assert_eq!(names, ["conv", "noise", "draw", EVERYTHING_ELSE]);
        let [conv, noise, draw, rest] = &rows[..] else {
            unreachable!()
        };
        let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-9, "{a:?}, {b}");
        close(conv.calls, 1.0);
        close(Some(conv.seconds), 0.25);
        close(conv.gflops, 100.0);
        close(conv.gb_s, 2.0);
        close(conv.share_of_limit, 0.5);
        assert_eq!(
            (noise.gflops, noise.gb_s, noise.share_of_limit),
            (None, None, None)
        );
        assert_eq!(draw.gflops, None);
        close(draw.gb_s, 10.0);
        close(draw.share_of_limit, 0.5);
        close(Some(rest.share), 0.2);
        close(Some(rest.seconds), 0.1);
        close(Some(rows.iter().map(|row| row.share).sum()), 1.0);
    }
}
