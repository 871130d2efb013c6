//! Reads the invocation counts of the Azure Functions trace of 2019.

use std::io::BufRead;

use faas_core::{Error, ErrorKind};

/// What one function was invoked in one day.
///
/// # Source
/// "AzurePublicDataset", Azure Functions Trace 2019: M. Shahrad et al., "Serverless in the Wild", USENIX ATC 2020.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionDay {
    /// The hash of the function's name.
    pub function: String,
    /// The hash of its owner's name.
    pub owner: String,
    /// The hash of the name of the application that it is part of.
    pub app: String,
    /// The invocations in each minute of the day.
    pub per_minute: Vec<u32>,
}

/// Reads rows of the trace: a header, then one row for each function, with one column for each minute.
///
/// Columns are found by the header: `HashFunction`, `HashOwner`, `HashApp`, and the minutes as `1`, `2`, … or
/// `minute_1`, `minute_2`, …; others are passed over.
///
/// # Errors
/// `InvalidArgument` for a header without these columns, and in place of each row that does not fit it, naming the
/// line; `Unavailable` when the reader fails.
pub fn function_days<R: BufRead>(
    reader: R,
) -> Result<impl Iterator<Item = Result<FunctionDay, Error>> + use<R>, Error> {
    let mut lines = reader.lines();
    let header = lines.next().unwrap_or_else(|| Ok(String::new())).map_err(unreadable)?;
    let columns = Columns::of(&header)?;
    let rows = (2_usize..).zip(lines);
    Ok(rows.map(move |(number, line)| columns.row(number, &line.map_err(unreadable)?)))
}

struct Columns {
    function: usize,
    owner: usize,
    app: usize,
    minutes: Vec<usize>,
    count: usize,
}

impl Columns {
    fn of(header: &str) -> Result<Self, Error> {
        let names: Vec<&str> = header.trim_end().split(',').collect();
        let position = |name: &str| {
            names.iter().position(|column| *column == name).ok_or_else(|| {
                Error::new(ErrorKind::InvalidArgument, format!("the header has no column '{name}'"))
            })
        };
        let minute = |name: &str| name.strip_prefix("minute_").unwrap_or(name).parse::<u32>().ok();
        let mut minutes: Vec<(u32, usize)> =
            names.iter().enumerate().filter_map(|(index, name)| Some((minute(name)?, index))).collect();
        minutes.sort_unstable();
        if minutes.is_empty() {
            let text = "the header has no columns for minutes, such as '1' or 'minute_1'";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(Self {
            function: position("HashFunction")?,
            owner: position("HashOwner")?,
            app: position("HashApp")?,
            minutes: minutes.into_iter().map(|(_, index)| index).collect(),
            count: names.len(),
        })
    }

    fn row(&self, number: usize, line: &str) -> Result<FunctionDay, Error> {
        let refuse = |text: String| Error::new(ErrorKind::InvalidArgument, format!("line {number} {text}"));
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        if fields.len() != self.count {
            return Err(refuse(format!("has {} columns where the header has {}", fields.len(), self.count)));
        }
        let count = |index: &usize| {
            fields[*index].parse().map_err(|_| refuse(format!("has '{}' for a count", fields[*index])))
        };
        Ok(FunctionDay {
            function: fields[self.function].to_owned(),
            owner: fields[self.owner].to_owned(),
            app: fields[self.app].to_owned(),
            per_minute: self.minutes.iter().map(count).collect::<Result<_, _>>()?,
        })
    }
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the trace cannot be read").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Result<FunctionDay, Error>>, Error> {
        Ok(function_days(text.as_bytes())?.collect())
    }

    #[test]
    fn both_forms_of_the_header_are_read() {
        let published = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,0,7,1\n";
        let sampled = "HashFunction,HashOwner,HashApp,minute_1,minute_2,minute_3\r\nf,o,a,0,7,1\r\n";
        let day = FunctionDay {
            function: "f".into(),
            owner: "o".into(),
            app: "a".into(),
            per_minute: vec![0, 7, 1],
        };
        for text in [published, sampled] {
            let rows = read(text).unwrap();
            assert_eq!(rows.len(), 1);
            assert_eq!(*rows[0].as_ref().unwrap(), day);
        }
    }

    #[test]
    fn a_bad_row_is_named_and_the_next_one_read() {
        let rows = read("HashOwner,HashApp,HashFunction,1\no,a,f,-1\no,a\no,a,f,3\n").unwrap();
        assert_eq!(
            rows[0].as_ref().unwrap_err().to_string(),
            "invalid argument: line 2 has '-1' for a count"
        );
        assert!(rows[1].as_ref().unwrap_err().to_string().contains("line 3 has 2 columns"));
        assert_eq!(rows[2].as_ref().unwrap().per_minute, [3]);
    }

    #[test]
    fn a_strange_header_is_refused() {
        for header in ["", "HashOwner,HashApp,HashFunction", "1,2,3"] {
            assert_eq!(read(header).unwrap_err().kind(), ErrorKind::InvalidArgument, "{header}");
        }
    }
}
