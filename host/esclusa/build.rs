//! How the program is linked: functions with the same code are one, which makes it a tenth smaller. Only lld does that, so only if
//! the toolchain has it and links with it by default, as those of rustup do on x86-64 Linux.

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
    }
}

fn has_lld(target: &str) -> bool {
    let Some(rustc) = std::env::var_os("RUSTC") else { return false };
    let Ok(asked) = Command::new(rustc).args(["--print", "sysroot"]).output() else { return false };
    let sysroot = String::from_utf8_lossy(&asked.stdout);
    Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
}
