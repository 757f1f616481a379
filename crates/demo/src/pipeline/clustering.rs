//! Stage four, clustering: k-means on standardised columns.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use smartcore::cluster::kmeans::{KMeans, KMeansParameters};

use super::{
    features::{LEARNED_ROWS_MAX, Prepared},
    findings::{Findings, Metrics, Values},
};
use crate::{problem::Problem, progress::Progress, table::Table};

/// k-means depends on its start: the best of so many is taken.
const STARTS: u64 = 5;

/// The silhouette compares every row with every other: with more rows, evenly chosen ones stand for all.
const SILHOUETTE_ROWS_MAX: usize = 1_000;

/// The clusters that were found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Clustering {
    /// The sum of squared distances to the clusters' centres, in standard deviations.
    pub inertia: f64,
    /// From -1 to 1: how much nearer rows are to their own cluster than to the next. Absent with one cluster only.
    pub silhouette: Option<f64>,
    /// One by one, by number.
    pub clusters: Vec<Cluster>,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    /// How many rows it has.
    pub rows: usize,
    /// The mean of its rows, column by column, in the columns' own units.
    pub center: BTreeMap<String, f64>,
}

pub(super) fn run(
    table: &Table,
    prepared: &Prepared,
    k: usize,
    progress: &mut dyn Progress,
) -> Result<Findings, Problem> {
    // With more rows, evenly chosen ones stand for all while the clusters are sought.
    let step = prepared.rows.len().div_ceil(LEARNED_ROWS_MAX).max(1);
    let learned: Vec<usize> = (0..prepared.rows.len()).step_by(step).collect();
    let rows: Vec<Vec<f64>> = learned.iter().map(|row| prepared.rows[*row].clone()).collect();
    let bits = |row: &Vec<f64>| -> Vec<u64> { row.iter().map(|value| (value + 0.0).to_bits()).collect() };
    let different = rows.iter().map(bits).collect::<HashSet<_>>().len();
    if k > different {
        let message = format!("must not exceed the number of different rows, {different}");
        return Err(Problem::invalid("k", message));
    }
    let matrix = prepared.matrix(&learned)?;
    let mut best: Option<(f64, Vec<Vec<f64>>)> = None;
    for seed in 0..STARTS {
        progress.still_wanted()?;
        let parameters = KMeansParameters { k, seed: Some(seed), ..KMeansParameters::default() };
        let model: KMeans<f64, usize, _, Vec<usize>> =
            KMeans::fit(&matrix, parameters).map_err(Problem::failed("clustering"))?;
        let members = model.predict(&matrix).map_err(Problem::failed("clustering"))?;
        let centers = centers(&rows, &members, k);
        let inertia = inertia(&rows, &members, &centers);
        if best.as_ref().is_none_or(|(least, _)| inertia < *least) {
            best = Some((inertia, centers));
        }
    }
    let (_, found) = best.expect("there is at least one start");
    let mut members = Vec::with_capacity(prepared.rows.len());
    for batch in prepared.rows.chunks(LEARNED_ROWS_MAX) {
        progress.still_wanted()?;
        members.extend(batch.iter().map(|row| nearest(row, &found)));
    }
    let inertia = inertia(&prepared.rows, &members, &found);
    let silhouette = silhouette(&prepared.rows, &members, k, progress)?;
    let clusters =
        centers(&prepared.rows, &members, k).into_iter().enumerate().map(|(cluster, center)| Cluster {
            rows: members.iter().filter(|member| **member == cluster).count(),
            center: prepared
                .scales
                .iter()
                .zip(center)
                .map(|(scale, value)| (scale.column.clone(), scale.mean + value * scale.deviation))
                .collect(),
        });
    let metrics = Clustering { inertia, silhouette, clusters: clusters.collect() };
    Ok(Findings::new(Metrics::Clustering(metrics))
        .with("row", Values::whole(table.origin().iter().copied()))
        .with("cluster", Values::whole(members)))
}

fn centers(rows: &[Vec<f64>], members: &[usize], k: usize) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; rows.first().map_or(0, Vec::len)]; k];
    let mut counts = vec![0_usize; k];
    for (row, member) in rows.iter().zip(members) {
        counts[*member] += 1;
        for (sum, value) in sums[*member].iter_mut().zip(row) {
            *sum += value;
        }
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|value| *value /= count.max(1) as f64);
    }
    sums
}

/// The number of the centre that is nearest to `row`.
fn nearest(row: &[f64], centers: &[Vec<f64>]) -> usize {
    let distance = |center: &Vec<f64>| squared_distance(row, center);
    let order = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    centers.iter().map(distance).enumerate().min_by(order).map_or(0, |(cluster, _)| cluster)
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn inertia(rows: &[Vec<f64>], members: &[usize], centers: &[Vec<f64>]) -> f64 {
    rows.iter().zip(members).map(|(row, member)| squared_distance(row, &centers[*member])).sum()
}

/// The mean silhouette as Rousseeuw (1987) defines it.
fn silhouette(
    rows: &[Vec<f64>],
    members: &[usize],
    k: usize,
    progress: &mut dyn Progress,
) -> Result<Option<f64>, Problem> {
    let step = rows.len().div_ceil(SILHOUETTE_ROWS_MAX).max(1);
    let sample: Vec<usize> = (0..rows.len()).step_by(step).collect();
    let mut sizes = vec![0_usize; k];
    sample.iter().for_each(|row| sizes[members[*row]] += 1);
    if sizes.iter().filter(|size| **size > 0).count() < 2 {
        return Ok(None);
    }
    let mut sum = 0.0;
    for row in &sample {
        progress.still_wanted()?;
        let mut distances = vec![0.0; k];
        for other in &sample {
            distances[members[*other]] += squared_distance(&rows[*row], &rows[*other]).sqrt();
        }
        let own = members[*row];
        if sizes[own] == 1 {
            continue;
        }
        let within = distances[own] / (sizes[own] - 1) as f64;
        let others = (0..k).filter(|cluster| *cluster != own && sizes[*cluster] > 0);
        let next =
            others.map(|cluster| distances[cluster] / sizes[cluster] as f64).fold(f64::INFINITY, f64::min);
        let larger = within.max(next);
        if larger > 0.0 {
            sum += (next - within) / larger;
        }
    }
    Ok(Some(sum / sample.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::testing::Recorder;

    #[test]
    fn the_silhouette_tells_good_clusters_from_bad_ones() {
        let rows: Vec<Vec<f64>> = [0.0, 0.1, 10.0, 10.1].into_iter().map(|value| vec![value]).collect();
        let score =
            |members: &[usize]| silhouette(&rows, members, 2, &mut Recorder::new()).expect("computes");
        // By hand: within 0.1, next 10.05 and 9.95.
        let expected = (2.0 * (1.0 - 0.1 / 10.05) + 2.0 * (1.0 - 0.1 / 9.95)) / 4.0;
        let good = score(&[0, 0, 1, 1]).expect("two clusters");
        assert!((good - expected).abs() < 1e-12, "{good}");
        assert!(score(&[0, 1, 0, 1]).expect("two clusters") < 0.0);
        assert_eq!(score(&[0, 0, 0, 0]), None);
    }
}
