//! Compiling in a child process.

use crate::bare::Core;
use crate::bombs;
use crate::support::{call, hostile, load, sandbox, sandbox_with, settings, tight};
use esclusa_flow::call_output::CallOutput;
use esclusa_sandbox::child::{ChildCommand, ChildError, ChildLimits};
use esclusa_sandbox::{Compiler, LoadError, MAX_FILE, PluginFile, Sandbox, SandboxConfig};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn program(what: &[&str]) -> ChildCommand {
    let arguments = what.iter().map(Into::into).collect();
    ChildCommand { path: env!("CARGO_BIN_EXE_compile-plugin").into(), arguments }
}

fn with(program: ChildCommand) -> Sandbox {
    sandbox_with(SandboxConfig { compiler: Compiler::Child(program), ..SandboxConfig::default() })
}

/// The error of loading a plugin with a child that misbehaves.
async fn lost(what: &str, bounds: ChildLimits) -> ChildError {
    program(&[what]).start(0).unwrap().ask(b"input", &bounds).await.unwrap_err()
}

const BOUNDS: ChildLimits = ChildLimits { memory: 64 << 20, time: Duration::from_secs(1), answer: 1 << 10 };

#[tokio::test]
async fn what_a_child_compiled_runs_here() {
    let dir = tempfile::tempdir().unwrap();
    let compiler = Compiler::Child(program(&[]));
    let config = SandboxConfig { cache_dir: Some(dir.path().join("cache")), compiler, ..SandboxConfig::default() };
    let loaded = load(&sandbox_with(config), Core::default().build()).await.unwrap();
    let plugin = loaded.configure(settings("{}", tight())).await.unwrap();
    assert_eq!(call(&plugin, 2).await.unwrap(), CallOutput::default());
    assert_eq!(load(&with(program(&[])), hostile()).await.unwrap().info.name, "hostile");
    // The code was kept, so it is not compiled again.
    let compiler = Compiler::Child(program(&["nobody"]));
    let config = SandboxConfig { cache_dir: Some(dir.path().join("cache")), compiler, ..SandboxConfig::default() };
    load(&sandbox_with(config), Core::default().build()).await.unwrap();
}

#[tokio::test]
async fn a_child_refuses_with_the_same_words() {
    let parse = |text: &str| wat::parse_str(text).unwrap();
    let whole = Core::default().build();
    let files = [
        b"hello".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        parse("(component (core module (memory i64 1)))"),
        parse(&format!("(component {})", "(core module)".repeat(300))),
        parse("(component)"),
    ];
    let child = with(program(&[]));
    for bytes in files {
        let here = load(&sandbox(), bytes.clone()).await.unwrap_err();
        assert_eq!(load(&child, bytes).await.unwrap_err().to_string(), here.to_string());
    }
}

#[tokio::test]
async fn small_files_that_ask_much_of_a_compiler_are_refused_before_it_sees_them() {
    let child = with(program(&[]));
    for (name, bytes) in bombs::refused() {
        assert!(bytes.len() < 1 << 20, "{name}");
        match load(&child, bytes).await {
            Err(LoadError::Bomb(why)) => assert!(why.contains(bombs::SAYS), "{name}: {why}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

// 18 MB, as CPython has, keep two cores busy for a minute: `scripts/nightly.sh tests` asks for as many functions.
#[tokio::test]
async fn a_large_honest_plugin_is_within_every_limit() {
    let functions = std::env::var("ESCLUSA_FUNCTIONS").map_or(2_000, |functions| functions.parse().unwrap());
    let bytes = bombs::honest(functions);
    assert!((functions * 1_500..MAX_FILE).contains(&bytes.len()), "{}", bytes.len());
    load(&with(program(&[])), bytes).await.unwrap();
}

#[tokio::test]
async fn a_good_plugin_beside_more_bombs_than_cores_is_ready_before_any_of_them() {
    let child = with(program(&[]));
    let bombs = std::thread::available_parallelism().unwrap().get() + 2;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..bombs {
        let (child, tell) = (child.clone(), tell.clone());
        tasks.spawn(async move {
            let _ = load(&child, bombs::passed(number)).await;
            tell.send("a bomb").unwrap();
        });
    }
    // It comes last and has to wait for a slot.
    tokio::task::yield_now().await;
    tasks.spawn(async move {
        load(&child, hostile()).await.unwrap();
        tell.send("the good one").unwrap();
    });
    assert_eq!(told.recv().await.unwrap(), "the good one");
}

#[tokio::test]
async fn a_child_that_reaches_a_limit_is_ended_and_the_limit_named() {
    assert!(matches!(lost("grow", BOUNDS).await, ChildError::Memory(most) if most == BOUNDS.memory));
    assert!(matches!(lost("spin", BOUNDS).await, ChildError::Time(most) if most == BOUNDS.time));
    assert!(matches!(lost("flood", BOUNDS).await, ChildError::Answer(most) if most == BOUNDS.answer));
    let crashed = lost("overflow", BOUNDS).await.to_string();
    assert!(crashed.contains("overflowed its stack"), "{crashed}");
    let crashed = lost("nothing", BOUNDS).await.to_string();
    assert!(crashed.contains("there is no nothing"), "{crashed}");
    let nowhere = ChildCommand { path: "/no/such/program".into(), arguments: Vec::new() };
    assert!(matches!(nowhere.start(0), Err(ChildError::Start(_))));
    // A child that lies about its own limits is killed by the parent.
    let hurried = ChildLimits { time: Duration::from_millis(10), ..BOUNDS };
    assert!(matches!(lost("spin", hurried).await, ChildError::Time(_)));
}

#[tokio::test]
async fn what_becomes_of_a_child_is_told_as_a_reason_not_to_load() {
    let not_loaded = async |what| load(&with(program(&[what])), Core::default().build()).await.unwrap_err();
    let memory = not_loaded("grow").await;
    assert!(matches!(memory, LoadError::CompileMemory(_)), "{memory}");
    assert!(memory.to_string().contains("MiB of memory"), "{memory}");
    assert!(matches!(not_loaded("spin").await, LoadError::CompileTime(_)));
    let nothing = not_loaded("flood").await;
    assert!(matches!(nothing, LoadError::CompileLost(_)), "{nothing}");
}

#[tokio::test]
async fn a_child_has_no_environment_no_further_files_and_goes_first_when_memory_runs_out() {
    // A descriptor that a shell or a service manager left open.
    let script = "exec 7</dev/null; exec \"$0\" look";
    let path = env!("CARGO_BIN_EXE_compile-plugin");
    let program = ChildCommand { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into(), path.into()] };
    let answer = program.start(0).unwrap().ask(b"", &BOUNDS).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    // A shell sets some variables itself.
    let (variables, rest) = answer.split_once("] ").unwrap();
    let known = ["RAYON_NUM_THREADS", "MIMALLOC_ARENA_EAGER_COMMIT", "PWD", "OLDPWD", "SHLVL", "_"];
    let unknown = variables.trim_start_matches('[').split(", ").find(|name| !known.contains(&name.trim_matches('"')));
    assert_eq!((unknown, rest), (None, "3 1000"));
}

/// True while a process has not ended.
fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

#[tokio::test]
async fn a_load_that_is_dropped_ends_its_child() {
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", note.display());
    let sandbox = with(ChildCommand { path: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] });
    let pid = async {
        loop {
            if let Ok(pid) = std::fs::read_to_string(&note) {
                return pid.trim().to_owned();
            }
            tokio::task::yield_now().await;
        }
    };
    let pid = tokio::select! {
        loaded = load(&sandbox, Core::default().build()) => panic!("{loaded:?}"),
        pid = pid => pid,
    };
    while alive(&pid) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_child_dies_with_its_parent() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compile-plugin"));
    command.arg("spin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&[1, 0, 0, 0, 0, 0, 0, 0, 7]).unwrap();
    // The system closes the pipes of a parent that has ended.
    drop(stdin);
    // The child's own limit would end it with another signal.
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[tokio::test]
async fn what_is_no_file_or_too_large_is_refused_without_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let says = async |path: &Path| PluginFile::read(path).await.map(drop).unwrap_err().to_string();
    assert!(says(dir.path()).await.contains("is a directory"));
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(says(&pipe).await.contains("is a named pipe"));
    assert!(says(Path::new("/dev/zero")).await.contains("is a device"));
    let sparse = dir.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(3 << 30).unwrap();
    assert!(says(&sparse).await.contains("larger than 32 MiB"));
}

#[tokio::test]
async fn a_plugin_that_says_too_much_of_itself_is_refused() {
    // A name of 200 bytes, all of them zero.
    let describe = "(i32.store (i32.const 2052) (i32.const 200)) (i32.const 2048)".to_owned();
    let error = load(&sandbox(), Core { describe, ..Core::default() }.build()).await.unwrap_err().to_string();
    assert_eq!(error, "the plugin's name has 200 bytes, more than 128");
    // A schema of 70,000.
    let schema =
        "(i32.store8 (i32.const 2072) (i32.const 1)) (i32.store (i32.const 2080) (i32.const 70000)) (i32.const 2048)";
    let error = load(&sandbox(), Core { describe: schema.to_owned(), ..Core::default() }.build()).await.unwrap_err();
    assert_eq!(error.to_string(), "the plugin's config schema has 70000 bytes, more than 65536");
}
