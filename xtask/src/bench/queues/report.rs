//! The table: what was measured, its latencies, the floor, and how it compares with peers.

use super::{
    super::table::{grid, thousands},
    load::{Cell, Load, Measured, Operation},
    target::Kind,
};

pub const NOTES: &str = "\
messages a second; N x M is N clients with M messages a request; latencies of requests, of the whole \
cycle with all three\nfloor: the engine bare, as many rows a commit as the platform's average; of it: \
the share of the floor that the platform reaches; a receive from a standard queue is answered before its \
commit\nx PEER: how many times as much as the peer, which \
keeps its messages in memory";

/// One cell of one target.
pub struct Row {
    pub kind: Kind,
    pub cell: Cell,
    pub figure: Result<(Measured, Option<f64>), String>,
}

impl Row {
    /// Stands for all cells of a target that could not be measured.
    pub fn not_measured(kind: Kind, waiting: usize, why: &anyhow::Error) -> Self {
        let load = Load {
            clients: 0,
            batch: 0,
        };
        Row {
            kind,
            cell: Cell {
                operation: Operation::Send,
                load,
                waiting,
            },
            figure: Err(format!("not measured: {why:#}")),
        }
    }

    /// As it is printed once it is measured.
    pub fn line(&self) -> String {
        let cells = self.cells(&[]);
        cells.join("  ")
    }

    fn cells(&self, rows: &[Row]) -> [String; 10] {
        let mut cells = [const { String::new() }; 10];
        cells[0] = self.cell.name();
        cells[1] = self.kind.name().to_owned();
        match &self.figure {
            Ok((measured, floor)) => {
                cells[2] = thousands(measured.per_second);
                cells[3] = format!("{:.2}", measured.p50_ms);
                cells[4] = format!("{:.2}", measured.p99_ms);
                let per_commit = measured.per_commit.map(|count| format!("{count:.1}"));
                cells[5] = per_commit.unwrap_or_default();
                if let Some(floor) = floor {
                    cells[6] = thousands(*floor);
                    cells[7] = format!("{:.0} %", 100.0 * measured.per_second / floor);
                }
                let fastest = self.peers(rows).max_by(|a, b| a.1.total_cmp(&b.1));
                if let Some((peer, per_second)) = fastest.filter(|_| self.kind.is_ours()) {
                    cells[8] = format!("{:.1}", measured.per_second / per_second);
                    cells[9] = peer.to_owned();
                }
            }
            Err(why) => cells[9].clone_from(why),
        }
        cells
    }

    /// The same cell of the peers.
    fn peers<'a>(&self, rows: &'a [Row]) -> impl Iterator<Item = (&'static str, f64)> + use<'a> {
        let cell = self.cell;
        rows.iter()
            .filter(move |row| row.cell == cell && !row.kind.is_ours())
            .filter_map(|row| Some((row.kind.name(), row.figure.as_ref().ok()?.0.per_second)))
            .filter(|(_, per_second)| *per_second > 0.0)
    }
}

pub fn render(rows: &[Row]) -> String {
    let header = [
        "operation",
        "target",
        "msg/s",
        "p50 ms",
        "p99 ms",
        "a commit",
        "floor",
        "of it",
        "x",
        "peer",
    ];
    grid(
        header.map(str::to_owned),
        rows.iter().map(|row| row.cells(rows)),
        &[0, 1, 9],
    )
}

#[cfg(test)]
mod tests {
    use super::{super::peers::Peer, *};

    fn row(kind: Kind, per_second: f64, floor: Option<f64>) -> Row {
        let measured = Measured {
            per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            per_commit: floor.map(|_| 30.0),
        };
        Row {
            kind,
            cell: Cell {
                operation: Operation::Send,
                load: Load {
                    clients: 64,
                    batch: 10,
                },
                waiting: 0,
            },
            figure: Ok((measured, floor)),
        }
    }

    #[test]
    fn ours_is_compared_with_the_fastest_peer_and_the_floor() {
        let rows = [
            row(Kind::Sqlite, 20_000.0, Some(40_000.0)),
            row(Kind::Peer(Peer::MiniStack), 1_000.0, None),
            row(Kind::Peer(Peer::LocalStack), 500.0, None),
        ];
        let cells = rows[0].cells(&rows);
        assert_eq!(cells[0], "send, 64 x 10");
        assert_eq!(cells[7], "50 %");
        assert_eq!(
            (cells[8].as_str(), cells[9].as_str()),
            ("20.0", "MiniStack")
        );
        assert_eq!(rows[1].cells(&rows)[8], "");
    }
}
