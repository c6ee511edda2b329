//! The shortest round trip through a list of places: nearest neighbours from each start, then
//! 2-opt, which undoes crossings until there are none. Not always the very shortest, but within a
//! few hundredths of it, in milliseconds.

use serde::{Deserialize, Serialize};

pub const STOPS_MAX: usize = 200;
/// How many starts are tried; each costs about the square of the number of stops.
const STARTS_MAX: usize = 24;
const EARTH_RADIUS_KM: f64 = 6371.0088;

#[derive(Debug, Clone, Deserialize)]
pub struct Stop {
    pub name: String,
    #[serde(alias = "latitude")]
    pub lat: f64,
    #[serde(alias = "longitude", alias = "lng")]
    pub lon: f64,
}

#[derive(Debug, Serialize)]
pub struct Trip {
    pub order: Vec<String>,
    pub legs: Vec<Leg>,
    pub total_km: f64,
    /// The same stops in the order they were given.
    pub given_km: f64,
}

#[derive(Debug, Serialize)]
pub struct Leg {
    pub from: String,
    pub to: String,
    pub km: f64,
}

/// What is wrong with the stops, if anything.
pub fn problem(stops: &[Stop]) -> Option<String> {
    if stops.is_empty() || stops.len() > STOPS_MAX {
        return Some(format!(
            "there must be 1 to {STOPS_MAX} stops, not {}",
            stops.len()
        ));
    }
    let off_earth = stops
        .iter()
        .find(|stop| !(-90.0..=90.0).contains(&stop.lat) || !(-180.0..=180.0).contains(&stop.lon));
    off_earth.map(|stop| format!("{} is not on Earth: {}, {}", stop.name, stop.lat, stop.lon))
}

/// The trip begins and ends at the first stop.
pub fn shortest(stops: &[Stop]) -> Trip {
    let distances = Distances::between(stops);
    let given: Vec<usize> = (0..stops.len()).collect();
    let step = stops.len().div_ceil(STARTS_MAX).max(1);
    let tours = (0..stops.len()).step_by(step).map(|start| {
        let mut tour = nearest_neighbours(start, &distances);
        uncross(&mut tour, &distances);
        tour
    });
    let best = tours.min_by(|a, b| distances.around(a).total_cmp(&distances.around(b)));
    let mut tour = best.unwrap_or_else(|| given.clone());
    let home = tour.iter().position(|stop| *stop == 0).unwrap_or(0);
    tour.rotate_left(home);
    trip(stops, &tour, &distances, distances.around(&given))
}

fn trip(stops: &[Stop], tour: &[usize], distances: &Distances, given: f64) -> Trip {
    let name = |stop: usize| stops[stop].name.clone();
    let legs = pairs(tour).map(|(from, to)| Leg {
        from: name(from),
        to: name(to),
        km: rounded(distances.get(from, to)),
    });
    Trip {
        order: tour
            .iter()
            .chain(tour.first())
            .map(|stop| name(*stop))
            .collect(),
        legs: legs.collect(),
        total_km: rounded(distances.around(tour)),
        given_km: rounded(given),
    }
}

fn nearest_neighbours(start: usize, distances: &Distances) -> Vec<usize> {
    let mut left: Vec<usize> = (0..distances.count).filter(|stop| *stop != start).collect();
    let mut tour = vec![start];
    let mut here = start;
    while !left.is_empty() {
        let nearest = (0..left.len())
            .min_by(|a, b| {
                distances
                    .get(here, left[*a])
                    .total_cmp(&distances.get(here, left[*b]))
            })
            .unwrap_or(0);
        here = left.swap_remove(nearest);
        tour.push(here);
    }
    tour
}

/// 2-opt: turns round every stretch that makes the tour shorter that way, until none does.
fn uncross(tour: &mut [usize], distances: &Distances) {
    let count = tour.len();
    let mut better = count > 3;
    while better {
        better = false;
        for first in 0..count - 2 {
            for last in first + 2..count {
                let (a, b) = (tour[first], tour[first + 1]);
                let (c, d) = (tour[last], tour[(last + 1) % count]);
                let now = distances.get(a, b) + distances.get(c, d);
                let then = distances.get(a, c) + distances.get(b, d);
                // The margin keeps rounding from turning it round for ever.
                if a != d && then < now - 1e-9 {
                    tour[first + 1..=last].reverse();
                    better = true;
                }
            }
        }
    }
}

struct Distances {
    count: usize,
    km: Vec<f64>,
}

impl Distances {
    fn between(stops: &[Stop]) -> Self {
        let km = stops
            .iter()
            .flat_map(|a| stops.iter().map(|b| great_circle_km(a, b)));
        Self {
            count: stops.len(),
            km: km.collect(),
        }
    }

    fn get(&self, from: usize, to: usize) -> f64 {
        self.km[from * self.count + to]
    }

    fn around(&self, tour: &[usize]) -> f64 {
        pairs(tour).map(|(from, to)| self.get(from, to)).sum()
    }
}

/// Each stop and the one after it; after the last comes the first.
fn pairs(tour: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let next = tour.iter().cycle().skip(1);
    tour.iter()
        .zip(next)
        .map(|(from, to)| (*from, *to))
        .filter(|(from, to)| from != to)
}

fn great_circle_km(a: &Stop, b: &Stop) -> f64 {
    let (lat_a, lat_b) = (a.lat.to_radians(), b.lat.to_radians());
    let lat = ((lat_b - lat_a) / 2.0).sin().powi(2);
    let lon = ((b.lon - a.lon).to_radians() / 2.0).sin().powi(2);
    let half = lat + lat_a.cos() * lat_b.cos() * lon;
    2.0 * EARTH_RADIUS_KM * half.sqrt().min(1.0).asin()
}

fn rounded(km: f64) -> f64 {
    (km * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(name: &str, lat: f64, lon: f64) -> Stop {
        Stop {
            name: name.to_owned(),
            lat,
            lon,
        }
    }

    #[test]
    fn distances_are_those_of_the_globe() {
        let berlin = stop("Berlin", 52.52, 13.405);
        let paris = stop("Paris", 48.8566, 2.3522);
        assert!((great_circle_km(&berlin, &paris) - 877.5).abs() < 1.0);
        let (east, west) = (stop("east", 0.0, 179.5), stop("west", 0.0, -179.5));
        assert!((great_circle_km(&east, &west) - 111.2).abs() < 0.1);
    }

    #[test]
    fn a_ring_is_gone_round() {
        let on_ring = |index: usize| {
            let angle = (index * 7 % 30) as f64 * 12.0;
            stop(
                &angle.to_string(),
                angle.to_radians().sin(),
                angle.to_radians().cos(),
            )
        };
        let stops: Vec<Stop> = (0..30).map(on_ring).collect();
        let trip = shortest(&stops);
        let angles: Vec<f64> = trip
            .order
            .iter()
            .map(|name| name.parse().expect("a number"))
            .collect();
        assert_eq!((angles.len(), angles[0], angles[30]), (31, 0.0, 0.0));
        for pair in angles.windows(2) {
            let turn = (pair[1] - pair[0]).abs();
            assert!(turn == 12.0 || turn == 348.0, "{angles:?}");
        }
        assert!(trip.total_km < trip.given_km / 3.0);
    }

    #[test]
    fn few_stops_and_equal_ones() {
        for count in 1..5 {
            let stops: Vec<Stop> = (0..count)
                .map(|at| stop(&at.to_string(), 1.0, 1.0))
                .collect();
            let trip = shortest(&stops);
            assert_eq!(trip.order.len(), count + 1);
            assert_eq!(trip.total_km, 0.0);
        }
        let trip = shortest(&[stop("only", 1.0, 1.0)]);
        assert!(trip.legs.is_empty());
    }

    #[test]
    fn impossible_stops_are_named() {
        assert_eq!(problem(&[stop("a", 1.0, 1.0)]), None);
        assert!(problem(&[]).is_some());
        assert!(problem(&vec![stop("a", 1.0, 1.0); STOPS_MAX + 1]).is_some());
        let found = problem(&[stop("pole", 91.0, 0.0)]).expect("it is not on Earth");
        assert!(found.contains("pole"));
        assert!(problem(&[stop("nowhere", f64::NAN, 0.0)]).is_some());
    }
}
