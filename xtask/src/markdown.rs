//! As much of Markdown as the rules read: headings, table rows and code spans.

/// The lines below the heading whose text is `heading`, up to the next one of its level or above.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let level_of = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut lines = text.lines().skip_while(|line| !is_heading(line, heading));
    let level = lines.next().map_or(0, level_of);
    lines.take_while(|line| level_of(line) == 0 || level_of(line) > level).collect()
}

/// Whether the text has a heading with exactly these words, at any level.
pub(crate) fn has_heading(text: &str, heading: &str) -> bool {
    text.lines().any(|line| is_heading(line, heading))
}

fn is_heading(line: &str, heading: &str) -> bool {
    line.starts_with('#') && line.trim_start_matches('#').trim().trim_matches('`') == heading
}

/// The trimmed cells of a table row; `None` for other lines and for the rule under a table's head.
pub(crate) fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let is_rule = cells.iter().all(|cell| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':')));
    (!is_rule).then_some(cells)
}

/// The code spans of one line, without their backticks.
pub(crate) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::{cells, code_spans, has_heading, section};

    const TEXT: &str = "# A\nx\n## B\n| `n` | v |\n| --- | :-- |\n### C\ny\n## D\nz\n";

    #[test]
    fn a_section_ends_at_the_next_heading_of_its_level() {
        assert_eq!(section(TEXT, "B"), ["| `n` | v |", "| --- | :-- |", "### C", "y"]);
        assert_eq!(section(TEXT, "D"), ["z"]);
        assert!(section(TEXT, "E").is_empty());
    }

    #[test]
    fn headings_may_be_code() {
        assert!(has_heading("## `local_warm`\n", "local_warm"));
        assert!(!has_heading("text local_warm\n", "local_warm"));
    }

    #[test]
    fn rows_are_told_from_rules_and_text() {
        assert_eq!(cells("| `n` | v |"), Some(vec!["`n`", "v"]));
        assert_eq!(cells("| --- | :-- |"), None);
        assert_eq!(cells("text"), None);
    }

    #[test]
    fn code_spans_are_found_in_order() {
        assert_eq!(code_spans("a `b` c `d e`").collect::<Vec<_>>(), ["b", "d e"]);
    }
}
