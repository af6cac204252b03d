//! The numbers of a figure.

use crate::report::drawing::axis::grouped;

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// With units.
    pub columns: Vec<&'static str>,
    /// As many cells as columns.
    pub rows: Vec<Vec<Cell>>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A number, of which people see so many decimals and files everything; none where there is none.
    Number(Option<f64>, usize),
}

impl Cell {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => grouped(*number as f64, 0),
            Self::Number(Some(number), decimals) => grouped(*number, *decimals),
            Self::Number(None, _) => "–".to_owned(),
        }
    }

    /// For programs.
    fn exact(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Number(Some(number), _) => number.to_string(),
            Self::Number(None, _) => String::new(),
        }
    }
}

impl Table {
    /// Without rows.
    pub fn new(columns: &[&'static str]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// As a file of comma-separated values (RFC 4180), all digits kept.
    pub fn csv(&self) -> String {
        let columns = self.columns.iter().map(|name| csv_field(name));
        let mut csv = line(columns);
        for row in &self.rows {
            csv.push_str(&line(row.iter().map(|cell| csv_field(&cell.exact()))));
        }
        csv
    }
}

/// A field of a file of comma-separated values (RFC 4180): in quotation marks where it would not be one field
/// otherwise.
pub fn csv_field(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields.collect();
    fields.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_fewer_digits_than_programs() {
        let mut table = Table::new(&["a", "b, c"]);
        table.row([Cell::Whole(12_345), Cell::Number(Some(1.23456), 2)]);
        table.row([Cell::Text("x \"y\"".to_owned()), Cell::Number(None, 2)]);
        let shown: Vec<String> = table.rows.iter().flatten().map(Cell::shown).collect();
        assert_eq!(shown, ["12,345", "1.23", "x \"y\"", "–"]);
        let csv = table.csv();
        assert_eq!(csv, "a,\"b, c\"\n12345,1.23456\n\"x \"\"y\"\"\",\n");
    }
}
