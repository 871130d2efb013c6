//! The table of capabilities in the README is what the code says.

use faas_backend_docker::DockerBackend;
use faas_backend_lambda::{LambdaBackend, LambdaLocalBackend};
use faas_backend_wasm::WasmBackend;
use faas_core::LocalBackend;

#[test]
fn the_table_of_the_readme_is_that_of_the_code() {
    let backends = [
        ("local", LocalBackend::CAPABILITY),
        ("wasm", WasmBackend::CAPABILITY),
        ("docker", DockerBackend::CAPABILITY),
        ("lambda", LambdaBackend::CAPABILITY),
        ("lambda-local", LambdaLocalBackend::CAPABILITY),
    ];
    let mut table = format!("| |{}\n", backends.map(|(name, _)| format!(" `{name}` |")).concat());
    table.push_str(&format!("| ---{} |\n", " | ---".repeat(backends.len())));
    let rows = backends.map(|(_, capability)| capability.rows());
    for (row, (name, _)) in rows[0].iter().enumerate() {
        let values = rows.each_ref().map(|rows| format!(" {} |", rows[row].1));
        table.push_str(&format!("| {name} |{}\n", values.concat()));
    }

    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("a README");
    assert!(readme.contains(&table), "README.md lacks this table:\n{table}");
}
