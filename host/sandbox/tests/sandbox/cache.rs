//! Compiled code on disk.

use crate::bare::Core;
use crate::support::{call, load, sandbox_with, settings, tight};
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_sandbox::SandboxConfig;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Calls a plugin that is loaded with this cache.
async fn calls(cache: &Path, plugin: Core) -> Result<CallOutput, CallError> {
    let cache_dir = Some(cache.to_owned());
    let sandbox = sandbox_with(SandboxConfig { cache_dir, ..SandboxConfig::default() });
    let loaded = load(&sandbox, plugin.build()).await.unwrap();
    let plugin = loaded.configure(settings("{}", tight())).await.unwrap();
    call(&plugin, 2).await
}

async fn works(cache: &Path) {
    assert_eq!(calls(cache, Core::default()).await.unwrap(), CallOutput::default());
}

/// A cache in a directory of its own, with the file of the plugin of [`works`].
async fn filled(dir: &Path) -> (PathBuf, PathBuf) {
    let cache = dir.join("deep/cache");
    works(&cache).await;
    let [file] = files(&cache).try_into().unwrap();
    (cache, file)
}

/// Which file it is, and when it was written: both stay while it is only read.
fn stamp(file: &Path) -> (u64, i64, i64) {
    let about = fs::symlink_metadata(file).unwrap();
    (about.ino(), about.mtime(), about.mtime_nsec())
}

#[tokio::test]
async fn a_compiled_plugin_is_kept_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = filled(dir.path()).await;
    let written = stamp(&file);
    works(&cache).await;
    assert_eq!(files(&cache), std::slice::from_ref(&file));
    assert_eq!(stamp(&file), written);
}

#[tokio::test]
async fn a_damaged_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = filled(dir.path()).await;
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damages = [
        Vec::new(),
        vec![1; 10],
        whole[..whole.len() / 2].to_vec(),
        flipped(0),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
        [&whole[..], b"x"].concat(),
    ];
    for damaged in damages {
        fs::write(&file, damaged).unwrap();
        works(&cache).await;
        assert_eq!(fs::read(&file).unwrap().len(), whole.len());
    }
}

#[tokio::test]
async fn code_of_another_plugin_or_key_is_never_run() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = filled(dir.path()).await;
    let own = fs::read(&file).unwrap();
    // Another plugin's code, with the MAC that this very cache gave it.
    assert!(calls(&cache, Core::handling("unreachable")).await.is_err());
    let other = files(&cache).into_iter().find(|other| *other != file).unwrap();
    fs::copy(&other, &file).unwrap();
    works(&cache).await;
    assert_eq!(fs::read(&file).unwrap(), own);
    // The same plugin's code, from a cache with another key: another router wrote it.
    let (_, foreign) = filled(&dir.path().join("elsewhere")).await;
    let foreign = fs::read(foreign).unwrap();
    assert_ne!(foreign, own);
    fs::write(&file, foreign).unwrap();
    works(&cache).await;
    assert_eq!(fs::read(&file).unwrap(), own);
}

#[tokio::test]
async fn a_file_that_others_can_change_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = filled(dir.path()).await;
    let is_replaced = async |what: &str| {
        let before = stamp(&file);
        works(&cache).await;
        assert_ne!(stamp(&file), before, "{what}");
        let about = fs::symlink_metadata(&file).unwrap();
        assert!(about.is_file() && about.mode() & 0o777 == 0o600, "{what}");
    };
    for mode in [0o620, 0o602] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        is_replaced("others may write").await;
    }
    let aside = dir.path().join("aside");
    fs::rename(&file, &aside).unwrap();
    symlink(&aside, &file).unwrap();
    is_replaced("a symlink").await;
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    is_replaced("a pipe, which nobody waits for").await;
}

#[tokio::test]
async fn the_cache_and_its_key_are_closed_to_other_users() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    works(&cache).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&cache), 0o700);
    assert_eq!(mode(&files(&cache)[0]), 0o600);
    assert_eq!(mode(&dir.path().join("cache.key")), 0o600);
    assert_eq!(fs::metadata(dir.path().join("cache.key")).unwrap().len(), 64);
    assert_eq!(files(dir.path()).len(), 2, "nothing else is left");
}

#[tokio::test]
async fn without_a_cache_that_can_be_trusted_plugins_are_compiled_at_each_start() {
    let dir = tempfile::tempdir().unwrap();
    let is_unused = async |cache: &Path| {
        works(cache).await;
        let left = fs::read_dir(cache).map(|entries| entries.count()).unwrap_or_default();
        assert_eq!(left, 0, "{}", cache.display());
    };
    let cache = dir.path().join("in-the-way");
    fs::write(&cache, "a file").unwrap();
    is_unused(&cache).await;
    let cache = dir.path().join("link");
    fs::create_dir(dir.path().join("target")).unwrap();
    symlink(dir.path().join("target"), &cache).unwrap();
    is_unused(&cache).await;
    // Keys that others can read or change, and what is no key.
    for (name, bytes, mode) in
        [("readable", 64, 0o640), ("writable", 64, 0o602), ("short", 63, 0o600), ("long", 65, 0o600)]
    {
        let key = dir.path().join(format!("{name}.key"));
        fs::write(&key, vec![7; bytes]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        is_unused(&dir.path().join(name)).await;
    }
    // Only root can give a directory away; everybody else meets one of root's.
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    if chown(&foreign, Some(12_345), None).is_ok() {
        is_unused(&foreign).await;
    } else {
        works(Path::new("/usr")).await;
    }
}
