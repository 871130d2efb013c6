//! The actions of a crate as a table.

use faas_core::artifact::Description;

const HEAD: [&str; 5] = ["NAME", "MEMORY", "TIMEOUT", "RETRIES", "DESCRIPTION"];

/// One line for each action, and one for what they share.
pub(crate) fn of(description: &Description) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(description.actions.iter().map(|action| {
        [
            action.name.path().to_owned(),
            action.limits.memory.to_string(),
            format!("{:?}", action.limits.timeout),
            action.retry.retries.to_string(),
            action.description.lines().next().unwrap_or_default().to_owned(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let state = if description.init {
        "Their shared state is built by an init function, once in each sandbox."
    } else {
        "They share no state: there is no init function."
    };
    format!("{text}\n{state}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faas_core::artifact::Description;
    use faas_core::{ActionSpec, MemoryMib};

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut greet =
            ActionSpec::new("greet").expect("a name").with_memory(MemoryMib::new(16)).with_retries(2);
        greet.description = "Greets.\nAt length.".to_owned();
        let slow =
            ActionSpec::new("orders/settle").expect("a name").with_timeout(Duration::from_millis(1500));
        let table = super::of(&Description { abi: 1, init: true, actions: vec![greet, slow] });
        assert_eq!(
            table,
            "\
NAME           MEMORY   TIMEOUT  RETRIES  DESCRIPTION
greet          16 MiB   60s      2        Greets.
orders/settle  256 MiB  1.5s     0

Their shared state is built by an init function, once in each sandbox.
"
        );
    }
}
