//! What all listeners are told from: the rows, the newest changes of them, and what is known of each gateway. Texts
//! are made by the first who needs them, and shared.

use super::points::{Point, Points};
use super::row::Row;
use crate::control::GatewayView;
use imbl::OrdMap;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

/// Changes that are kept. A listener that is behind by more is told the whole list.
const KEPT: usize = 32;
/// A change of more rows than this is told as the whole list.
const LARGE: usize = 500;

type Views = OrdMap<Arc<str>, Arc<GatewayView>>;

/// A text that is made once, when somebody needs it.
type Text = Arc<OnceLock<Arc<str>>>;

/// A state. A copy shares what it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    views: Views,
    rows: OrdMap<Arc<str>, Entry>,
    /// Counts the changes of rows.
    number: u64,
    /// The newest changes, oldest first; their last has the number of the board.
    changes: VecDeque<Arc<str>>,
    list: Text,
    numbers: BTreeMap<Arc<str>, Arc<str>>,
    points: BTreeMap<Arc<str>, Arc<Points>>,
}

/// A gateway.
#[derive(Clone, Debug)]
struct Entry {
    view: Arc<GatewayView>,
    row: Arc<Row>,
    text: Text,
    /// The same for those who do not see the lines of files.
    without_lines: Text,
}

impl Board {
    /// Takes what people may see now. Costs what is different.
    pub(super) fn take(&mut self, views: &Views) {
        use imbl::ordmap::DiffItem;
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let before = std::mem::replace(&mut self.views, views.clone());
        for difference in before.diff(views) {
            match difference {
                DiffItem::Add(name, view) | DiffItem::Update { new: (name, view), .. } => {
                    let row = Arc::new(Row::of(view));
                    let known = self.rows.get(name).map(|e| &e.row);
                    let row =
                        known.filter(|known| ***known == *row).map_or_else(|| Arc::clone(&row), Arc::clone);
                    if !known.is_some_and(|known| Arc::ptr_eq(known, &row)) {
                        changed.push(Arc::clone(&row));
                    }
                    let entry = Entry {
                        view: Arc::clone(view),
                        row,
                        text: Text::default(),
                        without_lines: Text::default(),
                    };
                    self.rows.insert(Arc::clone(name), entry);
                }
                DiffItem::Remove(name, _) => {
                    self.rows.remove(name);
                    gone.push(Arc::clone(name));
                }
            }
        }
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        self.number += 1;
        self.list = Text::default();
        if changed.len() + gone.len() > LARGE {
            self.changes.clear();
            return;
        }
        self.changes.push_back(text(&json!({ "changed": changed, "gone": gone })));
        if self.changes.len() > KEPT {
            self.changes.pop_front();
        }
    }

    /// Takes the numbers of the gateways that somebody looks at. Those that are equal stay the same object.
    pub(super) fn take_numbers(&mut self, numbers: BTreeMap<Arc<str>, Arc<str>>) {
        let before = std::mem::replace(&mut self.numbers, numbers);
        for (name, now) in &mut self.numbers {
            if let Some(same) = before.get(name).filter(|before| *before == now) {
                *now = Arc::clone(same);
            }
        }
    }

    /// Takes the points of the gateways that are followed.
    pub(super) fn take_points(&mut self, points: BTreeMap<Arc<str>, Arc<Points>>) {
        self.points = points;
    }

    /// One of them.
    pub(super) fn view(&self, name: &str) -> Option<&Arc<GatewayView>> {
        self.views.get(name)
    }

    /// The number of the newest change.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The list as a whole.
    pub(super) fn list(&self) -> Arc<str> {
        let all = || {
            let rows: Vec<&Row> = self.rows.values().map(|e| &*e.row).collect();
            text(&json!({ "gateways": rows }))
        };
        Arc::clone(self.list.get_or_init(all))
    }

    /// The changes after one; `None`: not all of them are kept.
    pub(super) fn changes(&self, after: u64) -> Option<impl Iterator<Item = Arc<str>>> {
        let missing = usize::try_from(self.number.checked_sub(after)?).ok()?;
        let skipped = self.changes.len().checked_sub(missing)?;
        Some(self.changes.iter().skip(skipped).cloned())
    }

    /// Everything about a gateway, or everything but the lines that its diagnostics quote.
    pub(super) fn gateway(&self, name: &str, with_lines: bool) -> Option<Arc<str>> {
        let entry = self.rows.get(name)?;
        let text = if with_lines {
            entry.text.get_or_init(|| text(&*entry.view))
        } else {
            entry.without_lines.get_or_init(|| text(&*entry.view.without_lines()))
        };
        Some(Arc::clone(text))
    }

    /// The numbers of a gateway, if somebody looks at it.
    pub(super) fn numbers(&self, name: &str) -> Option<&Arc<str>> {
        self.numbers.get(name)
    }

    /// The points of a gateway after one, and the moment of the last of them, in milliseconds since 1970.
    pub(super) fn points(&self, name: &str, after: i64) -> Option<(i64, Arc<str>)> {
        let points: Vec<&Point> = self.points.get(name)?.after(after).collect();
        let last = points.last()?.at.0;
        Some((last, text(&json!({ "points": points }))))
    }
}

/// JSON of plain values, which can always be written.
pub(super) fn text(value: &impl Serialize) -> Arc<str> {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Phase;
    use crate::rollout;
    use serde_json::Value;

    fn view(name: &str, phase: Phase) -> (Arc<str>, Arc<GatewayView>) {
        let (gateway, rollout, diagnostics) = (None, None, Vec::new());
        let (key, file): (Arc<str>, Arc<str>) = (name.into(), format!("{name}.yaml").into());
        let (name, file_tag) = (key.clone(), None);
        let view = GatewayView { name, file, file_tag, phase, serving: true, gateway, rollout, diagnostics };
        (key, Arc::new(view))
    }

    fn told(board: &Board, after: u64) -> Option<Vec<Value>> {
        let changes = board.changes(after)?;
        Some(changes.map(|text| serde_json::from_str(&text).unwrap()).collect())
    }

    #[test]
    fn only_what_is_different_is_told() {
        let mut views: Views =
            ["a", "b", "c"].map(|name| view(name, Phase::Of(rollout::Phase::Stable))).into_iter().collect();
        let mut board = Board::default();
        board.take(&views);
        assert_eq!(board.number(), 1);
        // The same thing made again is no change.
        views.extend([view("a", Phase::Of(rollout::Phase::Stable))]);
        board.take(&views);
        assert_eq!(told(&board, 1), Some(vec![]));
        views.extend([view("b", Phase::Of(rollout::Phase::Paused))]);
        board.take(&views);
        views.remove("c");
        board.take(&views);
        let news = told(&board, 1).unwrap();
        assert_eq!((news.len(), &news[0]["changed"][0]["name"]), (2, &"b".into()));
        assert_eq!((&news[0]["changed"][0]["phase"], &news[1]["gone"][0]), (&"Paused".into(), &"c".into()));
        let list: Value = serde_json::from_str(&board.list()).unwrap();
        assert_eq!(list["gateways"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn whoever_is_far_behind_is_told_all() {
        let mut board = Board::default();
        for turn in 0..=KEPT {
            let phase = if turn % 2 == 0 {
                Phase::Of(rollout::Phase::Stable)
            } else {
                Phase::Of(rollout::Phase::Paused)
            };
            board.take(&[view("a", phase)].into_iter().collect());
        }
        assert!(told(&board, 0).is_none(), "one change too many");
        assert_eq!(told(&board, 1).unwrap().len(), KEPT);
        assert!(told(&board, board.number() + 1).is_none(), "of another life of the server");
    }

    #[test]
    fn a_text_is_made_once() {
        let mut board = Board::default();
        board.take(&[view("a", Phase::Of(rollout::Phase::Stable))].into_iter().collect());
        let copy = board.clone();
        assert!(Arc::ptr_eq(&board.list(), &copy.list()));
        for with_lines in [true, false] {
            let of = |board: &Board| board.gateway("a", with_lines).unwrap();
            assert!(Arc::ptr_eq(&of(&board), &of(&copy)));
        }
        assert!(board.gateway("b", true).is_none());
        let numbers = || [("a".into(), "{}".to_owned().into())].into();
        board.take_numbers(numbers());
        let before = Arc::clone(board.numbers("a").unwrap());
        board.take_numbers(numbers());
        assert!(Arc::ptr_eq(&before, board.numbers("a").unwrap()), "equal numbers are no news");
    }
}
