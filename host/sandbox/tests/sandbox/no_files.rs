//! A guest that imports all of `wasi:filesystem`, as the libraries of most languages do, and one that makes up a file.

use super::bare::Core;
use super::support::{call, configured, failure, sandbox};
use esclusa_flow::call_output::FailureKind;

/// The methods of a descriptor in `wasi:filesystem/types@0.2.12`.
const METHODS: &str = "read-via-stream write-via-stream append-via-stream advise sync-data get-flags get-type set-size set-times read \
    write read-directory sync create-directory-at stat stat-at set-times-at link-at open-at readlink-at remove-directory-at rename-at \
    symlink-at unlink-file-at is-same-object metadata-hash metadata-hash-at";

/// A guest that imports everything and handles a batch so. The methods have no arguments here but their object: the host looks at none.
fn guest(version: &str, handle: &str) -> Vec<u8> {
    let at = |interface: &str| format!("wasi:filesystem/{interface}@{version}");
    let methods: String = METHODS.split_whitespace().map(|name| format!("{name}: func();")).collect();
    let types = format!(
        "package wasi:filesystem@{version};
        interface types {{
            resource descriptor {{ {methods} }}
            resource directory-entry-stream {{ read-directory-entry: func(); }}
        }}
        interface preopens {{ use types.{{descriptor}}; get-directories: func() -> list<tuple<descriptor, string>>; }}"
    );
    let world = format!("import {}; import {};", at("types"), at("preopens"));
    let mut module = format!(r#"(import "{}" "get-directories" (func $directories (param i32)))"#, at("preopens"));
    let mut import = |name: &str| {
        module += &format!(
            r#"(import "{}" "{name}" (func ${} (param i32)))"#,
            at("types"),
            name.replace(['[', ']', '.'], "_")
        );
    };
    METHODS.split_whitespace().for_each(|name| import(&format!("[method]descriptor.{name}")));
    import("[method]directory-entry-stream.read-directory-entry");
    import("[resource-drop]descriptor");
    import("[resource-drop]directory-entry-stream");
    let (types, world): (&'static str, &'static str) = (types.leak(), world.leak());
    Core { packages: vec![types], world, module, ..Core::handling(handle) }.build()
}

#[tokio::test]
async fn a_guest_finds_no_directories() {
    let handle = "(call $directories (i32.const 2048))
        (if (i32.load (i32.const 2052)) (then unreachable))
        (i32.const 1024)";
    for version in ["0.2.0", "0.2.6", "0.2.12"] {
        let plugin = configured(&sandbox(), guest(version, handle)).await;
        assert!(call(&plugin, 1).await.is_ok(), "{version}");
    }
}

#[tokio::test]
async fn a_descriptor_that_a_guest_makes_up_is_refused() {
    for function in
        ["_method_descriptor_read", "_method_directory-entry-stream_read-directory-entry", "_resource-drop_descriptor"]
    {
        let handle = format!("(call ${function} (i32.const 1)) (i32.const 1024)");
        let failed = failure(&configured(&sandbox(), guest("0.2.12", &handle)).await).await;
        assert_eq!(failed.kind, FailureKind::Trap, "{failed:?}");
        assert!(failed.message.contains("unknown handle index"), "{failed:?}");
    }
}
