//! Small files that take a compiler very long, each for another reason.

use crate::bare::Core;

/// A text that every refusal of these contains.
pub(crate) const SAYS: &str = "values alive at branches";

fn repeated(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

fn guest(module: String) -> Vec<u8> {
    Core { module, ..Core::default() }.build()
}

/// A function with so many locals, which are used in so many loops.
pub(crate) fn locals_and_loops(locals: usize, loops: usize) -> String {
    let uses = repeated(locals, |n| format!("(local.set {n} (i32.add (local.get {n}) (i32.const 1)))"));
    format!(
        "(func (local {}) {} {} {} {uses})",
        "i32 ".repeat(locals),
        "loop ".repeat(loops),
        uses,
        "(br_if 0 (local.get 0)) end ".repeat(loops)
    )
}

/// Files that the scan refuses, by name.
pub(crate) fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let types = format!("(type $wide (func (param {0}) (result {0})))", "i32 ".repeat(1000));
    let push = "(i32.const 1)".repeat(1000);
    let drop = "drop ".repeat(1000);
    let blocks = |inner: &str, count: usize| format!("(func {push} {} {drop})", inner.repeat(count));
    vec![
        ("locals in nested loops", guest(locals_and_loops(6_000, 3_000))),
        ("locals in loops in a row", {
            let uses = repeated(9_000, |n| format!("(local.set {n} (i32.const 1))"));
            guest(format!(
                "(func (local {}) {uses} {})",
                "i32 ".repeat(9_000),
                "(loop (br_if 0 (local.get 7)))".repeat(2_000)
            ))
        }),
        ("locals and branches", {
            guest(format!(
                "(func (local {}) (block {}))",
                "i64 ".repeat(15_000),
                "(br_if 0 (i32.const 0))".repeat(3_000)
            ))
        }),
        (
            "locals and ifs",
            guest(format!(
                "(func (local {}) {})",
                "v128 ".repeat(15_000),
                "(if (i32.const 0) (then) (else))".repeat(1_000)
            )),
        ),
        ("many functions, each of them bearable", guest(locals_and_loops(2_400, 650).repeat(22))),
        ("parameters of loops", guest(format!("{types} {}", blocks("(loop (type $wide))", 20_000)))),
        (
            "operands across blocks",
            guest(format!(
                "(func {} {} {})",
                "(i32.const 1)".repeat(20_000),
                "(block)".repeat(2_000),
                "drop ".repeat(20_000)
            )),
        ),
        ("wide calls", guest(format!("{types} (func $f (type $wide) unreachable) {}", blocks("call $f ", 40_000)))),
        ("wide tables of branches", {
            let table = format!("(br_table {} (i32.const 0))", "0 ".repeat(40_000));
            guest(format!("(func (result {}) {push} {table})", "i32 ".repeat(1000)))
        }),
    ]
}

/// A file that passes the scan and takes a compiler longer than a test may.
pub(crate) fn passed(number: usize) -> Vec<u8> {
    let salt = format!("(func (result i32) (i32.const {number}))");
    guest(format!("{salt} {}", locals_and_loops(2_400, 650).repeat(20)))
}

/// An honest guest: so many ordinary functions of 1.5 KB, with loops, branches, calls and a table of branches each.
pub(crate) fn honest(functions: usize) -> Vec<u8> {
    let arithmetic = |n: usize| {
        repeated(60, |m| {
            let (to, from) = ((n + m) % 12 + 1, (n * 7 + m) % 12 + 1);
            format!(
                "(local.set {to} (i32.add (i32.mul (local.get {from}) (i32.const {})) (i32.load offset={m} (local.get 0))))",
                n * m + 1
            )
        })
    };
    let function = |n: usize| {
        format!(
            "(func $f{n} (param i32) (result i32) (local {}) {}
              (loop
                (if (i32.lt_u (local.get 1) (i32.const {n})) (then {} (br 1)))
                (block (block (block (br_table 0 1 2 (local.get 2))) (br 1)) (local.set 3 (call $f{} (local.get 4)))))
              (local.get 5))",
            "i32 ".repeat(12),
            arithmetic(n),
            arithmetic(n + 1),
            n.saturating_sub(1),
        )
    };
    guest(repeated(functions, function))
}
