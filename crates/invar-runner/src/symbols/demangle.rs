//! A function's name as its author wrote it, from its name as the linker knows it.
//!
//! Clones that a compiler makes of a function (`f.cold`, `f.constprop.0`) have the function's name: which part of it they are, and for
//! which arguments, changes with every edit.

use std::fmt;

use cpp_demangle::DemangleOptions;

/// Longer names are cut: templates nest without end.
const LONGEST_NAME_BYTES: usize = 4096;

/// The name of a function, for people.
pub(super) fn demangled(symbol: &str) -> String {
    let symbol = without_clone(symbol.split('@').next().unwrap_or_default());
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        let mut name = Name::default();
        // The hash at its end is another in every build.
        if fmt::write(&mut name, format_args!("{rust:#}")).is_ok() || name.full {
            return name.text;
        }
    }
    if symbol.starts_with("_Z")
        && let Ok(parsed) = cpp_demangle::BorrowedSymbol::new(symbol.as_bytes())
    {
        let mut name = Name::default();
        if parsed.structured_demangle(&mut name, &DemangleOptions::default()).is_ok() || name.full {
            return name.text;
        }
    }
    symbol.to_string()
}

/// Whether a symbol is a part of a function that is not its beginning.
pub(super) fn is_part(symbol: &str) -> bool {
    symbol.split('.').skip(1).any(|word| word == "cold")
}

/// Without the endings that compilers give to clones.
fn without_clone(symbol: &str) -> &str {
    let mut name = symbol;
    loop {
        let unnumbered = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let unnumbered = unnumbered.strip_suffix('.').unwrap_or(name);
        let clones =
            [".cold", ".part", ".isra", ".constprop", ".lto_priv", ".llvm", ".localalias", ".specialized"];
        let stripped = clones.iter().find_map(|clone| unnumbered.strip_suffix(clone));
        match stripped {
            Some(stripped) if !stripped.is_empty() => name = stripped,
            _ => return name,
        }
    }
}

/// A text that grows up to [`LONGEST_NAME_BYTES`].
#[derive(Default)]
struct Name {
    text: String,
    full: bool,
}

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > LONGEST_NAME_BYTES {
            self.full = true;
            self.text.push_str("...");
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(symbol: &str, expected: &str) {
        assert_eq!(demangled(symbol), expected);
    }

    #[test]
    fn names_are_as_their_authors_wrote_them() {
        check("memcpy", "memcpy");
        check("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
        check("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function");
        check(
            "_ZNSt6vectorIiSaIiEE9push_backERKi",
            "std::vector<int, std::allocator<int> >::push_back(int const&)",
        );
        check("_Zwhatever", "_Zwhatever");
    }

    #[test]
    fn clones_have_the_name_of_their_function() {
        check("collect.cold", "collect");
        check("collect.part.0.cold", "collect");
        check("collect.isra.0.constprop.12", "collect");
        check("_ZN3foo3barEv.cold", "foo::bar()");
        check("_ZN3foo3bar17h0123456789abcdefE.llvm.1234567", "foo::bar");
        check("memcpy@@GLIBC_2.14", "memcpy");
        check("nested.12", "nested.12");
        check(".cold", ".cold");
    }

    #[test]
    fn only_a_cold_part_is_no_beginning() {
        assert!(is_part("collect.cold") && is_part("collect.cold.1"));
        assert!(!is_part("collect.constprop.0") && !is_part("cold"));
    }

    #[test]
    fn a_name_that_grows_without_end_is_cut() {
        let pairs = (0..40).fold("i".to_string(), |inner, _| format!("4pairI{inner}S_E"));
        let name = demangled(&format!("_Z1fI{pairs}EvT_"));
        assert!(name.len() <= LONGEST_NAME_BYTES + 3);
    }
}
