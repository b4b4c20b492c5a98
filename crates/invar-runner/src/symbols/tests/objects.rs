//! Names from real objects, with as much and as little debug information as there can be.

use std::path::{Path, PathBuf};
use std::process::Command;

use invar_core::event::Event;
use invar_core::profile::{Kind, Profile};

use super::{BASE, Mapped, drawing, paths};
use crate::symbols::{Cache, JitMap, Named, named};
use invar_core::wire::raw::call_paths::CallPaths;

const SOURCE: &str = "\
#include <stdlib.h>
int table[64];
static inline __attribute__((always_inline)) int inner(int x) {
    return table[x & 63] * 3;
}
static inline __attribute__((always_inline)) int middle(int x) {
    table[x & 31] += 1;
    return inner(x) + inner(x + 1);
}
static __attribute__((noinline)) int hidden(int x) {
    table[0] += x;
    return table[x & 7];
}
int outer(int x) {
    table[1] += x;
    return middle(x) + 1;
}
int caller(int x) {
    return hidden(x) + hidden(x + 1);
}
int jumper(int x) {
    table[2] += 1;
    return hidden(x + 1);
}
int careful(int x) {
    if (__builtin_expect(x == 12345, 0)) {
        table[x & 63] = 1;
        abort();
    }
    return table[x & 63];
}
";

fn ran(program: &str, arguments: &[&str], directory: &Path) {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory with the source and libguest.so, which is made of it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("guest.c"), SOURCE).unwrap();
        Place { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Builds libguest.so with these flags too.
    fn build(&self, flags: &[&str]) -> Mapped {
        let mut arguments = vec!["-O2", "-shared", "-fPIC", "-fno-ipa-icf", "guest.c", "-o", "libguest.so"];
        arguments.extend(flags);
        self.run("gcc", &arguments);
        Mapped::new(&self.path("libguest.so"))
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        ran(program, arguments, self.directory.path());
    }

    fn cache(&self) -> Cache {
        Cache::with_debug_directory(self.path("debug"))
    }

    /// What the functions of a build are by the file that is there now.
    fn profile(&self, built: &Mapped) -> Profile {
        let functions = ["outer", "caller", "careful"].map(|name| built.symbol(name));
        let calls: Vec<_> =
            functions.iter().map(|function| (function.0, std::slice::from_ref(function))).collect();
        let paths = paths(&built.maps, &calls);
        let Named { profile, warnings } = named("a", &paths, None, &mut self.cache());
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(profile.total(), paths.total());
        profile
    }

    /// With these flags there are the same names as with plain `-g`, from the file as `then` leaves it.
    #[track_caller]
    fn check(&self, flags: &[&str], then: impl Fn(&Place)) {
        let plain = self.profile(&self.build(&["-g"]));
        assert_eq!(drawing(&plain), DRAWING);
        let built = self.build(flags);
        then(self);
        let profile = self.profile(&built);
        assert_eq!(drawing(&profile), DRAWING);
        assert_eq!(profile, plain);
    }
}

const DRAWING: &str = "\
caller x1
careful x1
outer x1
  ^middle
    ^inner
";

#[test]
fn inlined_functions_have_their_lines() {
    let place = Place::new();
    let profile = place.profile(&place.build(&["-g"]));
    assert_eq!(drawing(&profile), DRAWING);
    let of = |name: &str| {
        let index = profile.functions.iter().position(|function| function.name == name).unwrap();
        let lines: Vec<u32> = profile
            .lines
            .iter()
            .filter(|line| line.function as usize == index)
            .map(|line| line.line)
            .collect();
        (profile.functions[index].clone(), lines)
    };
    let (inner, lines) = of("inner");
    assert_eq!((inner.line, inner.object.as_str(), lines), (3, "libguest.so", vec![4]));
    assert_eq!(inner.file, place.path("guest.c").display().to_string());
    let (middle, lines) = of("middle");
    assert_eq!((middle.line, lines), (6, vec![7, 8]));
    let (outer, lines) = of("outer");
    assert_eq!(outer.line, 14);
    assert!(lines.iter().all(|line| (14..=17).contains(line)), "{lines:?}");
    let instructions = |line: &invar_core::profile::Line| line.own.get(Event::Instructions);
    let by_lines: u64 = profile.lines.iter().map(instructions).sum();
    assert_eq!(by_lines, profile.total().get(Event::Instructions));
}

#[test]
fn debug_information_may_be_of_any_version() {
    Place::new().check(&["-g", "-gdwarf-4"], |_| {});
}

#[test]
fn debug_information_may_be_compressed() {
    Place::new().check(&["-g", "-gz"], |_| {});
}

#[test]
fn debug_information_may_refer_to_other_units() {
    Place::new().check(&["-g", "-flto"], |_| {});
}

#[test]
fn debug_information_may_be_split() {
    let place = Place::new();
    place.check(&["-g", "-gsplit-dwarf"], |_| {});
    place.check(&["-g", "-gsplit-dwarf", "-gdwarf-4"], |_| {});
}

#[test]
fn split_debug_information_may_be_packed() {
    // GNU dwp 2.40 crashes on version 5.
    Place::new().check(&["-g", "-gsplit-dwarf", "-gdwarf-4"], |place| {
        place.run("dwp", &["-e", "libguest.so", "-o", "libguest.so.dwp"]);
        for entry in std::fs::read_dir(place.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "dwo") {
                std::fs::remove_file(path).unwrap();
            }
        }
    });
}

#[test]
fn debug_information_may_be_linked() {
    Place::new().check(&["-g", "-Wl,--build-id=none"], |place| {
        place.run("objcopy", &["--only-keep-debug", "libguest.so", "libguest.debug"]);
        place.run("strip", &["libguest.so"]);
        place.run("objcopy", &["--add-gnu-debuglink=libguest.debug", "libguest.so"]);
        std::fs::create_dir_all(place.path(".debug")).unwrap();
        std::fs::rename(place.path("libguest.debug"), place.path(".debug/libguest.debug")).unwrap();
    });
}

#[test]
fn debug_information_may_be_installed_by_build_id() {
    Place::new().check(&["-g", "-Wl,--build-id=0xabcdef0123"], |place| {
        std::fs::create_dir_all(place.path("debug/.build-id/ab")).unwrap();
        let debug = "debug/.build-id/ab/cdef0123.debug";
        place.run("objcopy", &["--only-keep-debug", "libguest.so", debug]);
        place.run("strip", &["libguest.so"]);
    });
}

#[test]
fn debug_information_of_another_build_is_not_taken() {
    let place = Place::new();
    let built = place.build(&["-g", "-Wl,--build-id=none"]);
    place.run("objcopy", &["--only-keep-debug", "libguest.so", "libguest.debug"]);
    place.run("strip", &["libguest.so"]);
    place.run("objcopy", &["--add-gnu-debuglink=libguest.debug", "libguest.so"]);
    let mut debug = std::fs::read(place.path("libguest.debug")).unwrap();
    debug.push(0);
    std::fs::write(place.path("libguest.debug"), debug).unwrap();
    assert_eq!(drawing(&place.profile(&built)), "caller x1\ncareful x1\nouter x1\n");
}

#[test]
fn without_debug_information_there_are_symbols() {
    let place = Place::new();
    let built = place.build(&[]);
    assert_eq!(drawing(&place.profile(&built)), "caller x1\ncareful x1\nouter x1\n");
    let hidden = built.symbol("hidden");
    let paths = paths(&built.maps, &[(hidden.0, &[hidden])]);
    let drawn = |cache: &mut Cache| drawing(&named("a", &paths, None, cache).profile);
    assert_eq!(drawn(&mut place.cache()), "hidden x1\n");
    place.run("strip", &["libguest.so"]);
    assert_eq!(drawn(&mut place.cache()), format!("libguest.so+{:#x} x1\n", hidden.0 - BASE));
}

#[test]
fn what_a_stripped_object_hides_has_the_name_of_the_object() {
    let place = Place::new();
    let built = place.build(&[]);
    place.run("strip", &["libguest.so"]);
    let [jumper, hidden] = ["jumper", "hidden"].map(|name| built.symbol(name));
    let paths = paths(&built.maps, &[(jumper.0, &[jumper, hidden])]);
    let profile = named("a", &paths, None, &mut place.cache()).profile;
    assert_eq!(drawing(&profile), "jumper x1\n  [libguest.so]\n");
}

#[test]
fn a_jump_in_place_of_a_return_is_a_call() {
    let place = Place::new();
    for flags in [&[][..], &["-g"]] {
        let built = place.build(flags);
        let [jumper, hidden] = ["jumper", "hidden"].map(|name| built.symbol(name));
        let paths = paths(&built.maps, &[(jumper.0, &[jumper, hidden])]);
        let profile = named("a", &paths, None, &mut place.cache()).profile;
        assert_eq!(drawing(&profile), "jumper x1\n  hidden x1\n");
        assert_eq!(profile.nodes[2].own.get(Event::Instructions), hidden.1);
    }
}

#[test]
fn the_cold_part_of_a_function_is_the_function() {
    let place = Place::new();
    for flags in [&[][..], &["-g"]] {
        let built = place.build(flags);
        let [careful, cold] = ["careful", "careful.cold"].map(|name| built.symbol(name));
        let paths = paths(&built.maps, &[(careful.0, &[careful, cold])]);
        let profile = named("a", &paths, None, &mut place.cache()).profile;
        assert_eq!(drawing(&profile), "careful x1\n");
    }
}

#[test]
fn a_stub_is_the_function_that_it_leads_to() {
    let place = Place::new();
    for flags in [&["-fcf-protection=none"][..], &["-fcf-protection=full"], &["-fno-plt", "-Wl,-z,now"]] {
        let built = place.build(flags);
        let stubs = stubs(&built, "abort@plt", &mut place.cache());
        if flags[0] == "-fno-plt" {
            assert_eq!(stubs, Vec::<u64>::new());
            continue;
        }
        let stub = (*stubs.first().unwrap(), 16);
        let outer = built.symbol("outer");
        let paths = paths(&built.maps, &[(stub.0, &[stub, outer])]);
        let profile = named("a", &paths, None, &mut place.cache()).profile;
        assert_eq!(drawing(&profile), "outer x1\n");
        let alone = super::paths(&built.maps, &[(stub.0, &[stub])]);
        assert_eq!(drawing(&named("a", &alone, None, &mut place.cache()).profile), "abort@plt x1\n");
    }
}

/// Addresses of a stub's beginning.
fn stubs(built: &Mapped, name: &str, cache: &mut Cache) -> Vec<u64> {
    let end = built.symbol("outer").0;
    let mut process = crate::symbols::cache::Process::new(&built.maps, None, cache);
    let mut is_it = |address: &u64| {
        let (function, _) = process.callee(*address);
        process.cache.names.function_of(function).name == name
    };
    (BASE..end).step_by(16).filter(|address| is_it(address)).collect()
}

#[test]
fn names_of_other_languages_are_readable() {
    let place = Place::new();
    let cpp = "namespace shop { template <typename T> struct Cart { __attribute__((noinline)) T sum(T x) { return x * 2 + 1; } }; }
        template struct shop::Cart<int>;";
    std::fs::write(place.path("cart.cc"), cpp).unwrap();
    place.run("g++", &["-O1", "-g", "-shared", "-fPIC", "cart.cc", "-o", "libcart.so"]);
    let built = Mapped::new(&place.path("libcart.so"));
    let sum = built.symbol("_ZN4shop4CartIiE3sumEi");
    let profile = named("a", &paths(&built.maps, &[(sum.0, &[sum])]), None, &mut place.cache()).profile;
    assert_eq!(drawing(&profile), "shop::Cart<int>::sum(int) x1\n");
    assert_eq!(profile.functions[1].file, place.path("cart.cc").display().to_string());
}

#[test]
fn rust_is_named_with_full_and_with_limited_debug_information() {
    let place = Place::new();
    let rust = "pub mod shop {
        #[inline(never)]
        pub fn sum(x: &[u32]) -> u32 { x.iter().map(|x| x ^ 5).max().unwrap_or(1) }
    }
    #[no_mangle]
    pub extern \"C\" fn entry(x: u32) -> u32 { shop::sum(&[x, 2, 3]) }";
    std::fs::write(place.path("cart.rs"), rust).unwrap();
    for debug in ["2", "line-tables-only"] {
        let debug = format!("-Cdebuginfo={debug}");
        place.run(
            "rustc",
            &[
                "--edition=2021",
                "--crate-type=cdylib",
                "-Copt-level=1",
                &debug,
                "cart.rs",
                "-o",
                "libcart.so",
            ],
        );
        let built = Mapped::new(&place.path("libcart.so"));
        let name = {
            use object::{Object, ObjectSymbol};
            let file = super::file(&built.bytes);
            let name =
                file.symbols().find_map(|symbol| symbol.name().ok().filter(|name| name.contains("3sum")));
            name.unwrap().to_string()
        };
        let sum = built.symbol(&name);
        let profile = named("a", &paths(&built.maps, &[(sum.0, &[sum])]), None, &mut place.cache()).profile;
        let function = profile.function_of(&profile.nodes[1]);
        assert_eq!(function.name, "cart::shop::sum");
        assert_eq!((function.line, function.file.ends_with("cart.rs")), (3, true), "{}", function.file);
        assert!(drawing(&profile).contains('^'), "{}", drawing(&profile));
    }
}

#[test]
fn what_cannot_be_named_is_said_once() {
    let place = Place::new();
    std::fs::write(place.path("libtext.so"), "no object").unwrap();
    let (text, gone) = (place.path("libtext.so"), place.path("libgone.so"));
    let maps = format!(
        "1000-2000 r-xp 00000000 08:01 17 {}\n2000-3000 r-xp 00000000 08:01 17 {}\n3000-4000 r-xp 00000000 08:01 17 {} (deleted)\n",
        text.display(),
        gone.display(),
        gone.display(),
    );
    let paths = paths(&maps, &[(0x1000, &[(0x1000, 3)]), (0x2000, &[(0x2000, 3)]), (0x3000, &[(0x3000, 3)])]);
    let mut cache = place.cache();
    let Named { profile, warnings } = named("a", &paths, None, &mut cache);
    assert_eq!(drawing(&profile), "0x1000 x1\n0x2000 x1\n0x3000 x1\n");
    let [text, missing, replaced] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(text.ends_with("profiles do not name its functions") && text.contains("libtext.so"), "{text}");
    assert!(missing.contains("libgone.so` cannot be read (No such file"), "{missing}");
    assert!(replaced.contains("libgone.so` was replaced while it ran"), "{replaced}");
    assert_eq!(named("a", &paths, None, &mut cache).warnings, Vec::<String>::new());
}

#[test]
fn the_functions_of_a_python_interpreter_are_its_own() {
    let script =
        "import sysconfig as s; print(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME'), sep='/')";
    let output = Command::new("python3").args(["-c", script]).output();
    let path = output.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let Some(path) = path.filter(|path| path.is_file() && path.to_string_lossy().contains(".so")) else {
        // The stand-in below has to do on a machine without Python, or with one that is in one piece.
        return;
    };
    let built = Mapped::new(&path);
    let [eval, long] = ["_PyEval_EvalFrameDefault", "PyLong_FromLong"].map(|name| built.symbol(name));
    let paths = paths(&built.maps, &[(eval.0, &[eval]), (long.0, &[long])]);
    let Named { profile, warnings } = named("a", &paths, None, &mut Cache::default());
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(profile.total(), paths.total());
    let top: Vec<&str> = profile.nodes[1..]
        .iter()
        .filter(|node| node.parent == 0)
        .map(|node| profile.function_of(node).name.as_str())
        .collect();
    assert_eq!(top, ["PyLong_FromLong", "_PyEval_EvalFrameDefault"]);
    assert!(
        profile
            .functions
            .iter()
            .filter(|function| function.name != "a")
            .all(|function| function.kind == Kind::Interpreter)
    );
}

#[test]
fn an_interpreter_is_known_by_its_name() {
    let place = Place::new();
    place.build(&["-g"]);
    for (name, kind) in [
        ("libpython3.14.so.1.0", Kind::Interpreter),
        ("python3.9", Kind::Interpreter),
        ("libpythonic.so", Kind::Native),
        ("_numpython3.so", Kind::Native),
    ] {
        std::fs::copy(place.path("libguest.so"), place.path(name)).unwrap();
        let built = Mapped::new(&place.path(name));
        let outer = built.symbol("outer");
        let profile =
            named("a", &paths(&built.maps, &[(outer.0, &[outer])]), None, &mut place.cache()).profile;
        assert!(
            profile.functions.iter().skip(1).all(|function| function.kind == kind),
            "{name}: {profile:?}"
        );
    }
}

#[test]
fn a_process_as_the_system_maps_it_is_named() {
    let function: fn(&str, &CallPaths, Option<&JitMap>, &mut Cache) -> Named = named;
    let address = function as usize as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let paths = paths(&maps, &[(address, &[(address, 16)])]);
    let profile = function("a", &paths, None, &mut Cache::default()).profile;
    let function = profile.function_of(&profile.nodes[1]);
    assert_eq!(function.name, "invar_runner::symbols::named");
    assert!(function.file.ends_with("src/symbols.rs"), "{}", function.file);
}
