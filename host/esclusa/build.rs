//! How the program is linked: functions with the same code are one, which makes it a tenth smaller, and relative relocations are
//! packed, which takes off another twelfth. Only lld does both, so only if the toolchain has it and links with it by default, as
//! those of rustup do on x86-64 Linux.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTFLAGS");
    if let Ok(target) = std::env::var("TARGET")
        && target == "x86_64-unknown-linux-gnu"
        && std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| !flags.contains("link"))
        && has_lld(&target)
    {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        if reads_packed_relocations() {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

/// True if the C library here loads programs with packed relocations: glibc does since 2.36
/// (<https://sourceware.org/glibc/wiki/Release/2.36>).
fn reads_packed_relocations() -> bool {
    let Ok(asked) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let said = String::from_utf8_lossy(&asked.stdout);
    let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let number = |text: &str| text.parse::<u32>().ok();
    version.and_then(|(major, minor)| Some((number(major)?, number(minor)?))).is_some_and(|version| version >= (2, 36))
}

fn has_lld(target: &str) -> bool {
    let Some(rustc) = std::env::var_os("RUSTC") else { return false };
    let Ok(asked) = Command::new(rustc).args(["--print", "sysroot"]).output() else { return false };
    let sysroot = String::from_utf8_lossy(&asked.stdout);
    Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
}
