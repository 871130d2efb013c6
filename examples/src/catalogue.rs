//! The week of earthquakes that comes with the package.

use faas_core::{Error, Event, EventId, Payload, Timestamp};
use serde::Deserialize;

use crate::earthquakes::Quake;

/// The feed of the U.S. Geological Survey; `data/README.md` tells more.
const WEEK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/earthquakes.geojson"));

#[derive(Deserialize)]
struct Collection {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    id: String,
    properties: Properties,
    geometry: Geometry,
}

#[derive(Deserialize)]
struct Properties {
    mag: Option<f64>,
    place: String,
    time: u64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Geometry {
    /// Longitude, latitude and depth.
    coordinates: [f64; 3],
}

/// All events of the week, oldest first.
///
/// # Errors
/// None with the file as it is.
pub fn week() -> Result<Vec<Quake>, serde_json::Error> {
    let Collection { features } = serde_json::from_str(WEEK)?;
    let mut quakes: Vec<Quake> = features.into_iter().map(Quake::from).collect();
    quakes.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok(quakes)
}

/// The event of an earthquake, by the id and the time that it has in the catalogue: firing it again does nothing, so that
/// a program that was killed can begin from the beginning.
///
/// # Errors
/// None with what is in the catalogue.
pub fn event(quake: &Quake) -> Result<Event, Error> {
    Ok(Event {
        id: Some(EventId(quake.id.as_str().into())),
        at: Timestamp::from_millis(quake.time),
        payload: Payload::encode(quake)?,
    })
}

impl From<Feature> for Quake {
    fn from(Feature { id, properties, geometry }: Feature) -> Self {
        let Properties { mag, place, time, kind } = properties;
        let [longitude, latitude, depth] = geometry.coordinates;
        Self { id, kind, magnitude: mag, place, time, longitude, latitude, depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_has_the_events_that_the_quickstart_counts_on() {
        let week = week().unwrap();
        assert_eq!(week.len(), 1_707);
        assert!(week.is_sorted_by_key(|quake| quake.time));
        let strong: Vec<&Quake> = week.iter().filter(|quake| quake.magnitude >= Some(4.5)).collect();
        assert_eq!(strong.len(), 85);
        assert!(strong.iter().all(|quake| quake.kind == "earthquake"));
        assert_eq!(week.iter().filter(|quake| quake.kind != "earthquake").count(), 28);
    }
}
