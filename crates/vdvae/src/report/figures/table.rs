//! The numbers of a figure.

use std::io;

use crate::report::axis::grouped;

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

    /// As a file of comma-separated values, all digits kept.
    ///
    /// # Errors
    /// If a row has not as many cells as there are columns.
    pub fn csv(&self) -> io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Cell::exact))?;
        }
        writer
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))
    }
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
        let csv = String::from_utf8(table.csv().expect("written")).expect("UTF-8");
        assert_eq!(csv, "a,\"b, c\"\n12345,1.23456\n\"x \"\"y\"\"\",\n");
    }

    #[test]
    fn a_row_of_another_length_is_an_error() {
        let mut table = Table::new(&["a", "b"]);
        table.row([Cell::Whole(1)]);
        table.csv().expect_err("one cell");
    }
}
