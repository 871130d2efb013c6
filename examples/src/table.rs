//! A run as tables for people.

use std::iter;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::earthquakes::BANDS;
use crate::report::{Report, Row};

/// How many events and cells are shown. Arbitrary.
const SHOWN: usize = 5;

/// Columns apart by spaces, with a line below their names.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

const COLUMNS: [&str; 10] = [
    "action",
    "runs",
    "ok/app/dev/internal",
    "cold/prewarmed/warm",
    "wait p50",
    "wait p99",
    "run p50",
    "run p99",
    "billed ms",
    "GB-s",
];

pub(crate) fn render(report: &Report) -> String {
    let mut table = new_table(COLUMNS);
    report.rows().iter().for_each(|row| {
        table.add_row(cells(row));
    });
    let mut grid = new_table(["cell", "earthquakes"].into_iter().chain(BANDS));
    for (cell, bands) in report.busiest(SHOWN) {
        let in_band = |band| bands.get(band).copied().unwrap_or_default();
        let counts = iter::once(bands.values().sum()).chain(BANDS.map(in_band));
        grid.add_row(iter::once(cell).chain(counts.map(|count| count.to_string())));
    }
    format!(
        "{}\n\nStrongest events\n  {}\n\nBusiest cells of ten by ten degrees, by magnitude\n{}\n\n{} events\ndigest: {}",
        table.trim_fmt(),
        report.strongest(SHOWN).join("\n  "),
        grid.trim_fmt(),
        report.events(),
        report.digest()
    )
}

fn new_table<'a>(columns: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(columns);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let outcomes = [row.success, row.application_error, row.developer_error, row.internal_error];
    let starts = [row.cold, row.prewarmed, row.warm];
    [
        row.action.clone(),
        row.activations.to_string(),
        join(&outcomes),
        join(&starts),
        micros(row.wait_p50_us),
        micros(row.wait_p99_us),
        micros(row.run_p50_us),
        micros(row.run_p99_us),
        row.billed_ms.to_string(),
        format!("{:.4}", row.gb_seconds),
    ]
}

fn join(counts: &[usize]) -> String {
    counts.iter().map(usize::to_string).collect::<Vec<_>>().join("/")
}

/// Microseconds in the largest unit that keeps them readable.
fn micros(micros: u128) -> String {
    match micros {
        0..10_000 => format!("{micros} µs"),
        10_000..10_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_readable_units() {
        assert_eq!([micros(0), micros(9_999)], ["0 µs", "9999 µs"]);
        assert_eq!([micros(10_000), micros(12_345_678)], ["10 ms", "12 s"]);
    }
}
