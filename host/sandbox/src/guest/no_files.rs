//! `wasi:filesystem` without files. The libraries of most languages import it, and ask for the directories that they may open: there
//! are none. So a guest never gets a descriptor, and every other function needs one: no code of the host for files is compiled in.

use super::Guest;
use wasmtime::bail;
use wasmtime::component::{Linker, ResourceType, Val};

/// The version whose functions are listed here; a guest may import an earlier 0.2 version.
const VERSION: &str = "0.2.12";

/// What a descriptor would be: nothing ever makes one.
enum Descriptor {}

/// What a stream of directory entries would be: nothing ever makes one.
enum DirectoryEntryStream {}

/// The methods of a descriptor.
const OF_DESCRIPTOR: [&str; 27] = [
    "read-via-stream",
    "write-via-stream",
    "append-via-stream",
    "advise",
    "sync-data",
    "get-flags",
    "get-type",
    "set-size",
    "set-times",
    "read",
    "write",
    "read-directory",
    "sync",
    "create-directory-at",
    "stat",
    "stat-at",
    "set-times-at",
    "link-at",
    "open-at",
    "readlink-at",
    "remove-directory-at",
    "rename-at",
    "symlink-at",
    "unlink-file-at",
    "is-same-object",
    "metadata-hash",
    "metadata-hash-at",
];

/// Offers `wasi:filesystem`.
///
/// # Errors
/// Only if two definitions clash, which the tests would show.
pub(super) fn add_no_files(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{VERSION}"))?;
    types.resource("descriptor", ResourceType::host::<Descriptor>(), |_, _| Ok(()))?;
    types.resource("directory-entry-stream", ResourceType::host::<DirectoryEntryStream>(), |_, _| Ok(()))?;
    let methods = OF_DESCRIPTOR.map(|name| format!("[method]descriptor.{name}"));
    for method in methods.iter().map(String::as_str).chain(["[method]directory-entry-stream.read-directory-entry"]) {
        // The handle is the first argument, and none is valid: wasmtime refuses the call before this.
        types.func_new(method, |_, _, _, _| bail!("there are no files"))?;
    }
    // The error of a stream is none of a file.
    types.func_new("filesystem-error-code", |mut store, _, _, results| {
        answer(store.data_mut(), results, Val::Option(None))
    })?;
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{VERSION}"))?;
    preopens.func_new("get-directories", |mut store, _, _, results| {
        answer(store.data_mut(), results, Val::List(Vec::new()))
    })
}

/// Gives the only result of a function.
fn answer(guest: &mut Guest, results: &mut [Val], value: Val) -> wasmtime::Result<()> {
    guest.count_host_call()?;
    results.fill(value);
    Ok(())
}
