//! The word that was meant: for "did you mean" behind a word that is not known.

/// The known word that fewest edits make of `word`, if they are no more than a third of it, rounded up.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |other: &&str| edits(word, other);
    let best = known.iter().copied().min_by_key(distance)?;
    (edits(word, best) <= word.chars().count().div_ceil(3)).then_some(best)
}

/// How many characters to add, remove or replace (Levenshtein 1966).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_leads_to_the_nearest() {
        assert_eq!(nearest("pytset", &["python", "pytest", "tox"]), Some("pytest"));
    }

    #[test]
    fn a_word_unlike_any_other_leads_nowhere() {
        assert_eq!(nearest("make", &["pytest", "tox"]), None);
        assert_eq!(nearest("make", &[]), None);
    }
}
