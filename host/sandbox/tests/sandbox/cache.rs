//! Compiled code on disk.

use crate::bare::Core;
use crate::support::{call, load, sandbox_with, settings, tight};
use esclusa_flow::call_output::CallOutput;
use esclusa_sandbox::SandboxConfig;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

async fn works(dir: &Path) {
    let cache_dir = Some(dir.to_owned());
    let sandbox = sandbox_with(SandboxConfig { cache_dir, ..SandboxConfig::default() });
    let loaded = load(&sandbox, Core::default().build()).await.unwrap();
    let plugin = loaded.configure(settings("{}", tight())).await.unwrap();
    assert_eq!(call(&plugin, 2).await.unwrap(), CallOutput::default());
}

#[tokio::test]
async fn a_compiled_plugin_is_kept_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("deep/cache");
    works(&cache).await;
    let [file] = files(&cache).try_into().unwrap();
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    works(&cache).await;
    assert_eq!(files(&cache), std::slice::from_ref(&file));
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
}

#[tokio::test]
async fn a_damaged_file_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    works(dir.path()).await;
    let [file] = files(dir.path()).try_into().unwrap();
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
    ];
    for damaged in damages {
        fs::write(&file, damaged).unwrap();
        works(dir.path()).await;
        assert_eq!(fs::read(&file).unwrap().len(), whole.len());
    }
}

#[tokio::test]
async fn the_cache_is_closed_to_other_users() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    works(dir.path()).await;
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&files(dir.path())[0]).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "in the way").unwrap();
    let config = SandboxConfig { cache_dir: Some(path.clone()), ..SandboxConfig::default() };
    let error = esclusa_sandbox::Sandbox::new(config).map(drop).unwrap_err().to_string();
    assert!(error.contains(&*path.display().to_string()), "{error}");
}
