//! The symbols of an object, by address.
//!
//! Invariant: sorted by address, one symbol for each. Of several names of a function the one for its users is taken.

/// How many symbols before an address are asked whether they reach it: those inside of another one are few.
const NESTED: usize = 8;

/// A function by its symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Symbol {
    /// Its first address.
    pub address: u64,
    /// How many bytes; 0 where that is not known.
    pub size: u64,
    /// Where it ends at the latest: the end of its section.
    pub limit: u64,
    /// Other objects may use it.
    pub global: bool,
    /// Its name, mangled.
    pub name: Box<str>,
}

/// The symbols of an object.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Symbol>);

impl Table {
    /// Of symbols in whatever order.
    pub fn new(mut symbols: Vec<Symbol>) -> Table {
        let rank = |symbol: &Symbol| {
            let underscores = symbol.name.bytes().take_while(|&byte| byte == b'_').count();
            (!symbol.global, symbol.size == 0, underscores, symbol.name.len())
        };
        symbols.sort_by(|one, other| {
            let places = one.address.cmp(&other.address);
            places.then_with(|| rank(one).cmp(&rank(other))).then_with(|| one.name.cmp(&other.name))
        });
        symbols.dedup_by(|next, kept| {
            let same = next.address == kept.address;
            if same {
                kept.size = kept.size.max(next.size);
            }
            same
        });
        Table(symbols)
    }

    /// The symbol that an address is in, and its index.
    pub fn find(&self, address: u64) -> Option<(usize, &Symbol)> {
        let behind = self.0.partition_point(|symbol| symbol.address <= address);
        let mut before = self.0[..behind].iter().enumerate().rev();
        let reaches = |symbol: &Symbol| address - symbol.address < symbol.size;
        let sized = before.clone().take(NESTED).find(|(_, symbol)| reaches(symbol));
        // Hand-written code may not say how long it is: it goes on to the next symbol.
        sized.or_else(|| before.next().filter(|(_, symbol)| symbol.size == 0 && address < symbol.limit))
    }

    /// The symbol that starts at an address.
    pub fn at(&self, address: u64) -> Option<&Symbol> {
        let index = self.0.binary_search_by_key(&address, |symbol| symbol.address).ok()?;
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(address: u64, size: u64, name: &str) -> Symbol {
        Symbol {
            address,
            size,
            limit: 100,
            global: name.starts_with('_') || name == "copy",
            name: name.into(),
        }
    }

    /// The picture: outer 10..50 with inner 20..25 in it, raw from 60 on to next at 80.
    #[track_caller]
    fn check(address: u64, expected: Option<&str>) {
        let symbols = [("raw", 60, 0), ("inner", 20, 5), ("outer", 10, 40), ("next", 80, 4), ("last", 90, 0)];
        let table = Table::new(symbols.map(|(name, address, size)| symbol(address, size, name)).into());
        assert_eq!(table.find(address).map(|(_, symbol)| &*symbol.name), expected);
    }

    #[test]
    fn an_address_belongs_to_the_symbol_that_reaches_it() {
        check(9, None);
        check(10, Some("outer"));
        check(22, Some("inner"));
        check(30, Some("outer"));
        check(55, None);
        check(84, None);
    }

    #[test]
    fn a_symbol_of_unknown_size_goes_on_to_the_next_or_the_end_of_its_section() {
        check(79, Some("raw"));
        check(80, Some("next"));
        check(99, Some("last"));
        check(100, None);
        check(u64::MAX, None);
    }

    #[test]
    fn of_several_names_the_one_for_users_is_taken() {
        let names = ["local_copy", "__copy_fast", "copy"];
        let table = Table::new(names.map(|name| symbol(10, 5, name)).into());
        assert_eq!(&*table.at(10).unwrap().name, "copy");
        assert_eq!(table.at(11), None);
    }
}
