//! The table that the bench prints: a figure, its floor, their ratio, and the two goals.

/// What a figure counts, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds: less is better.
    Ms,
    /// Megabytes: less is better.
    Mb,
    /// Percent of one processor: less is better.
    CpuPercent,
    /// Per second: more is better.
    PerSecond,
    /// A number of things held at once: more is better.
    Count,
}

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(self, Unit::PerSecond | Unit::Count)
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Ms => "ms",
            Unit::Mb => "MB",
            Unit::CpuPercent => "% cpu",
            Unit::PerSecond => "/s",
            Unit::Count => "",
        }
    }

    fn meets(self, figure: f64, goal: f64) -> bool {
        if self.more_is_better() {
            figure >= goal
        } else {
            figure <= goal
        }
    }

    /// How many times the figure must improve to meet the goal; 1 or less where it does.
    fn distance(self, figure: f64, goal: f64) -> f64 {
        if self.more_is_better() {
            goal / figure
        } else {
            figure / goal
        }
    }

    fn show(self, value: f64) -> String {
        let number = match self {
            Unit::Ms if value < 1.0 => format!("{value:.3}"),
            Unit::Ms | Unit::CpuPercent => format!("{value:.2}"),
            Unit::Mb => format!("{value:.1}"),
            Unit::PerSecond | Unit::Count => thousands(value),
        };
        format!("{number} {}", self.name()).trim_end().to_owned()
    }
}

/// One measured line.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub unit: Unit,
    /// An error where it could not be measured, in words.
    pub figure: Result<f64, String>,
    pub floor: Option<f64>,
    /// What to reach; `None` where the figure only informs.
    pub goals: Option<Goals>,
}

#[derive(Debug, Clone, Copy)]
pub struct Goals {
    /// To reach now.
    pub goal: f64,
    /// To be able to reach.
    pub aim: f64,
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let show = |value| self.unit.show(value);
        let mut cells = [
            self.name.clone(),
            String::new(),
            self.floor.map(show).unwrap_or_default(),
            String::new(),
            self.goals.map(|goals| show(goals.goal)).unwrap_or_default(),
            self.goals.map(|goals| show(goals.aim)).unwrap_or_default(),
            String::new(),
        ];
        match &self.figure {
            Ok(figure) => {
                cells[1] = show(*figure);
                // Always how many times worse than the floor, whichever way is better.
                let ratio = self.floor.map(|floor| self.unit.distance(*figure, floor));
                cells[3] = ratio
                    .map(|ratio| format!("{ratio:.2}x"))
                    .unwrap_or_default();
                let verdict = self.goals.map(|goals| verdict(self.unit, *figure, goals));
                cells[6] = verdict.unwrap_or_default();
            }
            Err(why) => cells[6] = format!("not measured: {why}"),
        }
        cells
    }
}

fn verdict(unit: Unit, figure: f64, Goals { goal, aim }: Goals) -> String {
    if unit.meets(figure, aim) {
        "met, and the aim too".to_owned()
    } else if unit.meets(figure, goal) {
        format!("met; {:.1}x from the aim", unit.distance(figure, aim))
    } else {
        format!("NOT MET; {:.1}x from the goal", unit.distance(figure, goal))
    }
}

pub fn render(rows: &[Row]) -> String {
    let header = ["measure", "figure", "floor", "ratio", "goal", "aim", "met?"].map(str::to_owned);
    grid(header, rows.iter().map(Row::cells), &[0, 6])
}

/// One measure of a peer, beside ours from the same run.
#[derive(Debug, Clone)]
pub struct PeerRow {
    pub peer: &'static str,
    pub measure: String,
    pub unit: Unit,
    /// An error where it could not be installed, answered wrongly or could not be measured.
    pub figure: Result<f64, String>,
    pub ours: Result<f64, String>,
}

impl PeerRow {
    fn cells(&self) -> [String; 6] {
        let show = |value: &f64| self.unit.show(*value);
        let ratio = match (&self.figure, &self.ours) {
            // How many times worse the peer is, whichever way is better; below 1 where we are.
            (Ok(figure), Ok(ours)) => format!("{:.2}x", self.unit.distance(*figure, *ours)),
            _ => String::new(),
        };
        let why = |whose: &str, figure: &Result<f64, String>| {
            let why = figure.as_ref().err()?;
            Some(format!("{whose} not measured: {why}"))
        };
        let notes = [why("it was", &self.figure), why("ours was", &self.ours)];
        [
            self.peer.to_owned(),
            self.measure.clone(),
            self.figure.as_ref().map(show).unwrap_or_default(),
            self.ours.as_ref().map(show).unwrap_or_default(),
            ratio,
            notes.into_iter().flatten().collect::<Vec<_>>().join("; "),
        ]
    }
}

pub fn render_peers(rows: &[PeerRow]) -> String {
    let header = ["peer", "measure", "figure", "ours", "ratio", ""].map(str::to_owned);
    grid(header, rows.iter().map(PeerRow::cells), &[0, 1, 5])
}

pub fn grid<const N: usize>(
    header: [String; N],
    rows: impl Iterator<Item = [String; N]>,
    to_the_left: &[usize],
) -> String {
    let lines: Vec<_> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        table.push_str(&aligned(line, &widths, to_the_left));
        if number == 0 {
            table.push_str(&"-".repeat(widths.iter().map(|width| width + 2).sum()));
            table.push('\n');
        }
    }
    table
}

/// Names and verdicts to the left, numbers to the right.
fn aligned(cells: &[String], widths: &[usize], to_the_left: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if to_the_left.contains(&column) {
            line.push_str(&format!("{cell:<width$}  "));
        } else {
            line.push_str(&format!("{cell:>width$}  "));
        }
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOALS: Goals = Goals {
        goal: 2.0,
        aim: 0.5,
    };

    fn row(unit: Unit, figure: f64, floor: f64) -> Row {
        let name = "warm invoke".to_owned();
        Row {
            name,
            unit,
            figure: Ok(figure),
            floor: Some(floor),
            goals: Some(GOALS),
        }
    }

    #[test]
    fn less_or_more_may_be_better() {
        assert!(Unit::Ms.meets(0.1, 0.15));
        assert!(!Unit::Ms.meets(0.2, 0.15));
        assert!(Unit::PerSecond.meets(13_000.0, 12_000.0));
        assert!(!Unit::PerSecond.meets(11_000.0, 12_000.0));
    }

    #[test]
    fn ratios_say_how_much_worse_than_the_floor() {
        assert_eq!(row(Unit::Ms, 0.1, 0.05).cells()[3], "2.00x");
        assert_eq!(row(Unit::PerSecond, 10_000.0, 40_000.0).cells()[3], "4.00x");
    }

    #[test]
    fn verdicts() {
        let check = |figure, expect: &str| {
            assert_eq!(verdict(Unit::Ms, figure, GOALS), expect);
        };
        check(0.4, "met, and the aim too");
        check(1.0, "met; 2.0x from the aim");
        check(4.0, "NOT MET; 2.0x from the goal");
    }

    #[test]
    fn numbers_read_easily() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(Unit::Ms.show(0.0412), "0.041 ms");
        assert_eq!(Unit::Count.show(5000.0), "5,000");
    }

    #[test]
    fn renders_what_could_not_be_measured() {
        let mut failed = row(Unit::Ms, 0.1, 0.05);
        failed.figure = Err("no Node.js".to_owned());
        let table = render(&[row(Unit::Ms, 0.1, 0.05), failed]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("measure"));
        assert!(lines[3].ends_with("not measured: no Node.js"), "{table}");
    }

    #[test]
    fn a_peer_is_as_many_times_worse_as_its_ratio() {
        let row = |unit, figure, ours| PeerRow {
            peer: "Other",
            measure: "warm invoke".to_owned(),
            unit,
            figure: Ok(figure),
            ours: Ok(ours),
        };
        assert_eq!(row(Unit::Ms, 6.0, 0.5).cells()[4], "12.00x");
        assert_eq!(row(Unit::PerSecond, 500.0, 1000.0).cells()[4], "2.00x");
        assert_eq!(row(Unit::PerSecond, 1000.0, 500.0).cells()[4], "0.50x");
    }

    #[test]
    fn a_peer_that_fails_is_shown_with_the_reason() {
        let failed = PeerRow {
            peer: "Other",
            measure: "warm invoke".to_owned(),
            unit: Unit::Ms,
            figure: Err("no npm".to_owned()),
            ours: Ok(0.25),
        };
        let table = render_peers(&[failed]);
        let line = table.lines().last().expect("there is a row");
        assert!(line.starts_with("Other  warm invoke"), "{table}");
        assert!(line.contains("0.250 ms"), "{table}");
        assert!(line.ends_with("it was not measured: no npm"), "{table}");
    }
}
