//! The call paths that cost the most.

use std::cmp::Reverse;

use super::{Function, Measure, Profile};

/// A function called along one path, and what it did itself there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotPath {
    /// Index of its node.
    pub node: u32,
    /// Its own cost.
    pub cost: u64,
    /// How often it was called.
    pub calls: u64,
}

impl Profile {
    /// The paths whose last function costs the most itself: at most so many, and none that cost nothing.
    pub fn hottest_paths(&self, measure: Measure<'_>, most: usize) -> Vec<HotPath> {
        let costs = self.own_costs(measure);
        let hot = |(index, node): (usize, &super::Node)| HotPath {
            node: index as u32,
            cost: costs[index],
            calls: node.calls,
        };
        let mut paths: Vec<HotPath> =
            self.nodes.iter().enumerate().map(hot).filter(|path| path.cost > 0).collect();
        paths.sort_by_key(|path| (Reverse(path.cost), path.node));
        paths.truncate(most);
        paths
    }

    /// The functions from the root to a node.
    pub fn path(&self, node: u32) -> Vec<&Function> {
        let mut at = node;
        let mut path = vec![self.function_of(&self.nodes[at as usize])];
        while at != 0 {
            at = self.nodes[at as usize].parent;
            path.push(self.function_of(&self.nodes[at as usize]));
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::testing::profile;

    #[test]
    fn the_dearest_path_comes_first_and_ends_with_who_pays() {
        let profile = profile("test_it 1 5\n  a 1 0\n    b 2 20\n  b 1 30");
        let paths = profile.hottest_paths(Measure::Event(Event::Instructions), 2);
        let shown: Vec<(u64, Vec<&str>)> = paths
            .iter()
            .map(|path| {
                (path.cost, profile.path(path.node).iter().map(|function| function.name.as_str()).collect())
            })
            .collect();
        assert_eq!(shown, [(30, vec!["test_it", "b"]), (20, vec!["test_it", "a", "b"])]);
        assert_eq!(profile.hottest_paths(Measure::Event(Event::Instructions), 9).len(), 3);
    }
}
