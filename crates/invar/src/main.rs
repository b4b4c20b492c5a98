//! The command `invar`.

fn main() {}
