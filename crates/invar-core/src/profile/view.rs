//! What people choose to see of a profile.
//!
//! A view leaves functions out, never costs: what a node that is left out did itself goes to its nearest caller that is
//! kept, and so do its callees. So every view of a profile sums up to the same, to the unit. The root is always kept.

use super::{Builder, Kind, Profile};

/// A choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// Whose frames are kept.
    pub frames: Frames,
    /// What becomes of functions that call themselves.
    pub recursion: Recursion,
    /// What becomes of lines of Python functions.
    pub lines: Lines,
}

/// What becomes of lines of Python functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lines {
    /// They are their functions'.
    #[default]
    Folded,
    /// Each has its node below its function's, if that has one.
    Kept,
}

impl View {
    /// Are nodes of such functions kept?
    const fn keep(self, kind: Kind) -> bool {
        match kind {
            Kind::Line => matches!(self.lines, Lines::Kept) && self.frames.keep(Kind::Python),
            other => self.frames.keep(other),
        }
    }
}

/// Whose frames are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Frames {
    /// Everybody's.
    #[default]
    Mixed,
    /// Python's and native ones, but not the interpreter's own.
    Folded,
    /// Python's only: a function is charged for whatever is done until the next Python function.
    Python,
    /// Native ones only, the interpreter's own included.
    Native,
}

impl Frames {
    /// Are frames of such functions kept?
    pub const fn keep(self, kind: Kind) -> bool {
        match self {
            Frames::Mixed => true,
            Frames::Folded => !matches!(kind, Kind::Interpreter),
            Frames::Python => matches!(kind, Kind::Python | Kind::Line),
            Frames::Native => !matches!(kind, Kind::Python | Kind::Line),
        }
    }
}

/// What becomes of functions that call themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recursion {
    /// Every level has its node.
    #[default]
    Kept,
    /// A call of a function that is among the callers already counts for the outer node: its cost, its calls and its
    /// callees are there.
    Folded,
}

impl Profile {
    /// The profile as a view shows it. Lines stay with the functions that are kept; what these took over from others
    /// is at their line 0.
    pub fn viewed(&self, view: View) -> Profile {
        let mut builder = Builder::new(&self.function_of(&self.nodes[0]).name);
        let root = self.nodes[0].function as usize;
        let numbered = self.functions.iter().enumerate();
        let functions: Vec<Option<u32>> = numbered
            .map(|(index, function)| {
                let kept = index == root || view.keep(function.kind);
                kept.then(|| builder.function(function.clone()))
            })
            .collect();
        // Where each node's cost goes; and of those that are there, their caller and function.
        let mut place = vec![Builder::ROOT];
        let mut there = vec![(Builder::ROOT, functions[root])];
        let mut has_node = vec![false; self.functions.len()];
        has_node[root] = true;
        builder.add(Builder::ROOT, &self.nodes[0].own);
        for node in &self.nodes[1..] {
            let parent = place[node.parent as usize];
            let target = match functions[node.function as usize] {
                None => parent,
                Some(function) => {
                    has_node[node.function as usize] = true;
                    let outer = match view.recursion {
                        Recursion::Kept => None,
                        Recursion::Folded => nearest(&there, parent, function),
                    };
                    let target = outer.unwrap_or_else(|| builder.child(parent, function, node.inlined));
                    if target as usize == there.len() {
                        there.push((parent, Some(function)));
                    }
                    builder.add_calls(target, node.calls);
                    target
                }
            };
            builder.add(target, &node.own);
            place.push(target);
        }
        for line in self.lines.iter().filter(|line| has_node[line.function as usize]) {
            if let Some(function) = functions[line.function as usize] {
                builder.add_line(function, line.line, &line.own);
            }
        }
        builder.finish()
    }
}

/// The innermost of a node and its callers that is of a function.
fn nearest(there: &[(u32, Option<u32>)], mut node: u32, function: u32) -> Option<u32> {
    loop {
        let (parent, of) = there[node as usize];
        match of {
            of if of == Some(function) => return Some(node),
            _ if node == Builder::ROOT => return None,
            _ => node = parent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_profile, events, picture, profile};
    use proptest::prelude::*;

    fn example() -> Profile {
        profile(
            "test_it 1 1
               int:eval 1 10
                 py:main 1 0
                   int:eval 1 20
                     py:work 3 2
                       memcpy 6 600
                     memcpy 1 100
                     inl:pop 0 5",
        )
    }

    #[track_caller]
    fn check(frames: Frames, expected: &str) {
        let view = View { frames, ..View::default() };
        assert_eq!(picture(&example().viewed(view)), expected);
    }

    #[test]
    fn a_mixed_view_is_the_profile() {
        assert_eq!(example().viewed(View::default()), example());
    }

    #[test]
    fn the_interpreter_folds_into_its_callers() {
        check(
            Frames::Folded,
            "test_it 1 11\n\
             py:main 1 20\n  memcpy 1 100\n  inl:pop 0 5\n  py:work 3 2\n    memcpy 6 600\n",
        );
    }

    #[test]
    fn a_python_function_pays_for_what_is_done_until_the_next() {
        check(Frames::Python, "test_it 1 11\npy:main 1 125\n  py:work 3 602\n");
    }

    #[test]
    fn native_functions_alone_join_across_python() {
        check(
            Frames::Native,
            "test_it 1 1\n\
             int:eval 1 10\n  int:eval 1 22\n    memcpy 7 700\n    inl:pop 0 5\n",
        );
    }

    #[test]
    fn folded_recursion_is_one_level_with_all_its_calls() {
        let profile = profile(
            "test_it 1 0
               a 1 1
                 b 2 2
                   a 3 4
                     b 4 8
                     c 1 1
                 a 5 16",
        );
        let view = View { recursion: Recursion::Folded, ..View::default() };
        assert_eq!(picture(&profile.viewed(view)), "test_it 1 0\na 9 21\n  b 6 10\n  c 1 1\n");
    }

    #[test]
    fn lines_of_python_functions_fold_into_them() {
        let profile = profile(
            "test_it 1 1
               py:f 2 3
                 int:eval 2 10
                 line:f@12 2 0
                   int:eval 0 20
                   len 4 8
                 line:f@13 6 0
                   int:eval 0 40
                   len 6 2",
        );
        let folded = "test_it 1 1\npy:f 2 3\n  int:eval 2 70\n  len 10 10\n";
        assert_eq!(picture(&profile.viewed(View::default())), folded);
        assert_eq!(picture(&profile.without_lines()), folded);
        let kept = View { frames: Frames::Python, lines: Lines::Kept, ..View::default() };
        let lines = "test_it 1 1\npy:f 2 13\n  line:f@12 2 28\n  line:f@13 6 42\n";
        assert_eq!(picture(&profile.viewed(kept)), lines);
        let native = View { frames: Frames::Native, ..kept };
        assert_eq!(picture(&profile.viewed(native)), "test_it 1 4\nint:eval 2 70\nlen 10 10\n");
    }

    #[test]
    fn lines_stay_with_kept_functions_and_what_they_took_over_is_at_line_0() {
        let mut profile = profile("test_it 1 0\n  py:f 1 10\n    g 1 5");
        let index =
            |name| profile.functions.iter().position(|function| function.name == name).unwrap() as u32;
        let line = |function, line, instructions| super::super::Line {
            function,
            line,
            own: events(instructions, 0),
        };
        profile.lines = vec![line(index("f"), 3, 10), line(index("g"), 4, 5)];
        let view = View { frames: Frames::Python, ..View::default() };
        let lines: Vec<_> = profile.viewed(view).lines.iter().map(|line| (line.line, line.own)).collect();
        assert_eq!(lines, [(0, events(5, 0)), (3, events(10, 0))]);
    }

    proptest! {
        #[test]
        fn every_view_sums_up_to_the_same(profile in any_profile()) {
            for frames in [Frames::Mixed, Frames::Folded, Frames::Python, Frames::Native] {
                for recursion in [Recursion::Kept, Recursion::Folded] {
                    for lines in [Lines::Folded, Lines::Kept] {
                        let viewed = profile.viewed(View { frames, recursion, lines });
                        prop_assert_eq!(viewed.total(), profile.total());
                        let bytes = crate::wire::profile::write(&viewed);
                        prop_assert_eq!(crate::wire::profile::read(&bytes), Ok(viewed));
                    }
                }
            }
        }
    }
}
