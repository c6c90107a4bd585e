//! Guests that break the canonical ABI: each is an ordinary failure of its call, and nothing else.

use crate::core::Core;
use crate::support::{call, configured, failure, sandbox};
use esclusa_flow::output::{FailureKind, Output};

#[tokio::test]
async fn a_guest_that_does_nothing_gives_an_empty_output() {
    let plugin = configured(&sandbox(), Core::default().build()).await;
    assert_eq!(call(&plugin, 1000).await.unwrap(), Output::default());
}

#[tokio::test]
async fn answers_that_break_the_abi_are_traps() {
    let sandbox = sandbox();
    let attacks = [
        ("address out of bounds", Core::handling("(i32.const -16)")),
        ("address misaligned", Core::handling("(i32.const 1025)")),
        ("unknown variant", Core::answering("\\07")),
        ("list out of bounds", Core::answering("\\00\\00\\00\\00\\f0\\ff\\ff\\ff\\01\\00\\00\\00")),
        ("list misaligned", Core::answering("\\00\\00\\00\\00\\01\\04\\00\\00\\01\\00\\00\\00")),
        (
            "not UTF-8",
            Core::answering("\\01\\00\\00\\00\\00\\00\\00\\00\\10\\08\\00\\00\\04\\00\\00\\00\\ff\\fe\\fd\\fc"),
        ),
        ("trap in post-return", Core { post: "unreachable".into(), ..Core::default() }),
    ];
    for (attack, core) in attacks {
        let plugin = configured(&sandbox, core.build()).await;
        let failure = failure(&plugin).await;
        assert_eq!(failure.kind, FailureKind::Trap, "{attack}: {failure:?}");
        println!("{attack}: {failure:?}");
    }
}
