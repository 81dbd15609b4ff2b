//! Tables as the docker command prints them: capitals on top, three blanks between columns, no lines.

use super::text::{inert, shortened, width};

/// The last column takes what the terminal has left; others never more than this.
const WIDEST: usize = 60;

/// Rows of cells under titles.
#[derive(Debug)]
pub struct Table {
    titles: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(titles: &'static [&'static str]) -> Self {
        Self { titles, rows: Vec::new() }
    }

    /// As many cells as there are titles.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| inert(cell)).collect());
    }

    /// Lines of at most `columns` columns, if the first columns leave that much; without a bound when nobody reads them on a
    /// terminal.
    pub fn lines(&self, columns: Option<usize>) -> Vec<String> {
        let last = self.titles.len() - 1;
        let widest = |i: usize| {
            let cells = self.rows.iter().map(|row| width(&row[i]));
            cells.chain([width(self.titles[i])]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..last).map(|i| widest(i).min(if columns.is_some() { WIDEST } else { usize::MAX })).collect();
        let taken: usize = widths.iter().map(|w| w + 3).sum();
        let rest = columns.map_or(usize::MAX, |all| all.saturating_sub(taken).max(12));
        let line = |cells: Vec<&str>| {
            let mut out = String::new();
            for (cell, w) in cells.iter().zip(&widths) {
                let cell = shortened(cell, *w);
                out.push_str(&cell);
                out.extend(std::iter::repeat_n(' ', w - width(&cell) + 3));
            }
            out.push_str(&shortened(cells[last], rest));
            out.trim_end().to_owned()
        };
        let titles = std::iter::once(line(self.titles.to_vec()));
        titles.chain(self.rows.iter().map(|row| line(row.iter().map(String::as_str).collect()))).collect()
    }

    pub fn print(&self) -> std::io::Result<()> {
        self.lines(terminal_columns()).iter().try_for_each(|line| super::line(line))
    }
}

/// None when standard output is no terminal.
pub fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_is_cut() {
        let mut table = Table::new(&["NAME", "WHAT", "ERROR"]);
        table.row(["a".into(), "two".into(), "x".repeat(50)]);
        table.row(["größer".into(), "\u{1b}".into(), String::new()]);
        let lines = table.lines(Some(40));
        assert_eq!(lines[0], "NAME     WHAT     ERROR");
        assert_eq!(lines[1], format!("a        two      {}…", "x".repeat(21)));
        assert_eq!(lines[2], "größer   \\u{1b}");
        assert!(table.lines(None)[1].ends_with(&"x".repeat(50)));
    }
}
