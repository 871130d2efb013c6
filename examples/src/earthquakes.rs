//! Earthquakes, and the actions that look at them.

use faas_core::{BoxError, action, actions};
use serde::{Deserialize, Serialize};

actions![aggregate, locate, classify, alert];

/// One event of a catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quake {
    /// The network's id of it.
    pub id: String,
    /// What it is: mostly `earthquake`.
    pub kind: String,
    /// How strong it is, where that is known.
    pub magnitude: Option<f64>,
    /// Where it is, in words.
    pub place: String,
    /// When it happened, in milliseconds since 1970.
    pub time: u64,
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
    /// Depth in kilometres; negative above the sea.
    pub depth: f64,
}

/// Where an event counts: a cell of the globe, and how strong it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The south-western corner of ten by ten degrees, such as `30N 120W`.
    pub cell: String,
    /// The magnitudes that it is counted with.
    pub band: String,
}

/// The bands of magnitude that earthquakes are counted in.
pub const BANDS: [&str; 6] = ["under 1", "1 to 2", "2 to 3", "3 to 4.5", "4.5 and over", "unknown"];

/// Where each band but the first begins.
const LIMITS: [f64; 4] = [1.0, 2.0, 3.0, 4.5];

/// An event with its place taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Located {
    /// The network's id of it.
    pub id: String,
    /// How strong it is.
    pub magnitude: f64,
    /// Depth in kilometres.
    pub depth: f64,
    /// The country, state or sea.
    pub region: String,
    /// How far it is from the nearest town, and in which direction, where the catalogue tells.
    pub offset: Option<String>,
}

/// A located event with words for how strong and how deep it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// The event.
    #[serde(flatten)]
    pub located: Located,
    /// How strong.
    pub class: String,
    /// How deep.
    pub depth_class: String,
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// How strong the event is.
    pub magnitude: f64,
    /// `notice`, `warning` or `emergency`.
    pub level: String,
    /// One line.
    pub text: String,
}

/// Tells where an earthquake counts.
///
/// # Errors
/// An event that is no earthquake does not count.
#[action(memory = "32MiB", timeout = "5s", retries = 3)]
pub fn aggregate(quake: Quake) -> Result<Cell, BoxError> {
    if quake.kind != "earthquake" {
        return Err(
            format!("{} is no earthquake, but a kind of event called '{}'", quake.id, quake.kind).into()
        );
    }
    let side = |degrees: f64, positive, negative| {
        let corner = (degrees / 10.0).floor() * 10.0;
        format!("{:.0}{}", corner.abs(), if corner < 0.0 { negative } else { positive })
    };
    let band = quake.magnitude.map_or(5, |m| LIMITS.iter().filter(|limit| m >= **limit).count());
    let cell = format!("{} {}", side(quake.latitude, 'N', 'S'), side(quake.longitude, 'E', 'W'));
    Ok(Cell { cell, band: BANDS[band].into() })
}

/// Takes the place apart: `15km ESE of Hualian, Taiwan` is an offset and a region.
///
/// # Errors
/// Coordinates off the globe, and events whose magnitude is unknown, cannot be placed.
#[action(memory = "32MiB", timeout = "5s", retries = 3)]
pub fn locate(quake: Quake) -> Result<Located, BoxError> {
    if !(-90.0..=90.0).contains(&quake.latitude) || !(-180.0..=180.0).contains(&quake.longitude) {
        return Err(format!("{} lies off the globe", quake.id).into());
    }
    let magnitude = quake.magnitude.ok_or_else(|| format!("{} has no magnitude", quake.id))?;
    let offset = quake.place.split_once(", ").filter(|(offset, _)| offset.contains("km "));
    let (offset, region) = match offset {
        Some((offset, region)) => (Some(offset.to_owned()), region),
        None => (None, quake.place.as_str()),
    };
    Ok(Located { id: quake.id, magnitude, depth: quake.depth, region: region.into(), offset })
}

/// Finds the words for magnitude and depth.
///
/// Their limits are those of the U.S. Geological Survey: "Magnitude Types" and "Determining the Depth of an
/// Earthquake".
#[action(memory = "32MiB", timeout = "5s", retries = 3)]
pub fn classify(located: Located) -> Classified {
    let class = match located.magnitude {
        m if m < 5.0 => "light",
        m if m < 6.0 => "moderate",
        m if m < 7.0 => "strong",
        m if m < 8.0 => "major",
        _ => "great",
    };
    let depth_class = match located.depth {
        d if d < 70.0 => "shallow",
        d if d < 300.0 => "intermediate",
        _ => "deep",
    };
    Classified { located, class: class.into(), depth_class: depth_class.into() }
}

/// Writes what people are told.
#[action(memory = "32MiB", timeout = "5s", retries = 3)]
pub async fn alert(quake: Classified) -> Alert {
    let Classified { located, class, depth_class } = quake;
    let level = match (class.as_str(), depth_class.as_str()) {
        ("light", _) | ("moderate", "intermediate" | "deep") => "notice",
        ("moderate", _) | ("strong", "intermediate" | "deep") => "warning",
        _ => "emergency",
    };
    let place =
        located.offset.map_or_else(|| located.region.clone(), |it| format!("{it}, {}", located.region));
    let text = format!("M {:.1}, {class}, {depth_class}: {place}", located.magnitude);
    tracing::info!(event = %located.id, level, "{text}");
    Alert { magnitude: located.magnitude, level: level.into(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hualian() -> Quake {
        Quake {
            id: "us1000chhc".into(),
            kind: "earthquake".into(),
            magnitude: Some(6.4),
            place: "22km NNE of Hualian, Taiwan".into(),
            time: 1_517_932_243_000,
            longitude: 121.653,
            latitude: 24.1737,
            depth: 10.64,
        }
    }

    #[test]
    fn an_earthquake_counts_in_its_cell_and_band() {
        let cell = |longitude, latitude, magnitude| {
            let cell = aggregate(Quake { longitude, latitude, magnitude, ..hualian() }).unwrap();
            format!("{}, {}", cell.cell, cell.band)
        };
        assert_eq!(cell(121.653, 24.1737, Some(6.4)), "20N 120E, 4.5 and over");
        assert_eq!(cell(-118.6, 34.4, Some(2.0)), "30N 120W, 2 to 3");
        assert_eq!(cell(-0.1, -0.1, Some(-0.8)), "10S 10W, under 1");
        assert_eq!(cell(0.0, 0.0, None), "0N 0E, unknown");
    }

    #[test]
    fn what_is_no_earthquake_does_not_count() {
        let blast = Quake { kind: "quarry blast".into(), ..hualian() };
        let error = aggregate(blast).unwrap_err().to_string();
        assert_eq!(error, "us1000chhc is no earthquake, but a kind of event called 'quarry blast'");
    }

    #[tokio::test]
    async fn a_strong_event_is_located_classified_and_told() {
        let located = locate(hualian()).unwrap();
        assert_eq!(located.region, "Taiwan");
        assert_eq!(located.offset.as_deref(), Some("22km NNE of Hualian"));
        let told = alert(classify(located)).await;
        assert_eq!(told.level, "emergency");
        assert_eq!(told.text, "M 6.4, strong, shallow: 22km NNE of Hualian, Taiwan");
    }

    #[test]
    fn a_place_without_a_town_is_a_region() {
        let located = locate(Quake { place: "Line Islands, Kiribati region".into(), ..hualian() }).unwrap();
        assert_eq!((located.region.as_str(), located.offset), ("Line Islands, Kiribati region", None));
        assert!(locate(Quake { latitude: 91.0, ..hualian() }).is_err());
        assert!(locate(Quake { magnitude: None, ..hualian() }).is_err());
    }
}
