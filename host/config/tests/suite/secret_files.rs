//! Values of files: which files there can be, and which values of a route's configuration are secrets.

use esclusa_config::{LoadedConfig, Problems, named_file, parse};
use std::path::Path;

const FROM_FILE: &str =
    "version = 1\n[output.hook]\nkind = \"webhook\"\nurl = \"https://example.com/${file:secret}\"\n";

fn read(base: &Path) -> Result<LoadedConfig, Problems> {
    parse(FROM_FILE, "routes.toml", base, &|_| None)
}

#[test]
fn what_is_no_file_or_too_large_is_named_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    let says = |what: &str| {
        let error = read(dir.path()).map(drop).unwrap_err().render(false);
        assert!(error.contains(what) && error.contains("routes.toml:4:"), "{what}: {error}");
        assert!(named_file::read(&secret).is_err(), "{what}");
    };
    says("no such file");
    std::fs::create_dir(&secret).unwrap();
    says("it is a directory, expected a file");
    std::fs::remove_dir(&secret).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&secret).status().unwrap().success());
    says("it is a named pipe, expected a file");
    for device in ["/dev/zero", "/dev/full"] {
        std::fs::remove_file(&secret).unwrap();
        std::os::unix::fs::symlink(device, &secret).unwrap();
        says("it is a device, expected a file");
    }
    std::fs::remove_file(&secret).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&secret).unwrap();
    says("it is a socket, expected a file");
    std::fs::remove_file(&secret).unwrap();
    std::fs::File::create(&secret).unwrap().set_len(3 << 30).unwrap();
    says("it has more than 1024 KiB");
    std::fs::write(&secret, [b'x'; 1 << 10]).unwrap();
    assert!(read(dir.path()).is_ok());
    // /proc shows no size beforehand.
    assert!(named_file::read(Path::new("/proc/self/status")).is_ok_and(|text| !text.is_empty()));
}

#[test]
fn values_from_outside_are_the_secrets_of_their_route_wherever_they_stand() {
    let text = r#"
version = 1
[source.s]
kind = "stream"
[[route]]
name = "a"
source = "s"
plugin = "a.wasm"
[route.config]
token = "Bearer ${TOKEN}"
level = "${LEVEL:-information}"
plain = "in-the-file"
list = ["${FIRST}-and-${SECOND}", { deep = { deeper = "${THIRD}" } }]
[[route]]
name = "b"
source = "s"
plugin = "b.wasm"
"#;
    let value = |name: &str| (name != "LEVEL").then(|| format!("value-of-{name}"));
    let loaded = parse(text, "routes.toml", Path::new(""), &value).unwrap();
    let [a, b] = loaded.plan.routes.as_slice() else { panic!("two routes") };
    let said = "Bearer value-of-TOKEN, value-of-FIRST-and-value-of-SECOND, value-of-THIRD, information, in-the-file";
    assert_eq!(a.secrets.mask(said.to_owned()), "Bearer ***, ***-and-***, ***, information, in-the-file");
    assert_eq!(b.secrets.mask(said.to_owned()), said);
    assert!(!format!("{:?}", a.secrets).contains("value-of"), "their number is shown, and nothing else");
}
