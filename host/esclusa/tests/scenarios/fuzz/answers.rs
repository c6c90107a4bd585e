//! The fuzz target of answers: a guest that returns the bytes of the input as its memory, through lifting, grants, delivery and commit.
//! A second guest, whose texts have another encoding, returns the same bytes: its answers are read by generated code.

use super::bare::Core;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::{CallError, CallOutput, FailureKind};
use esclusa_flow::delivery::{Delivery, Moment, Step};
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::grants::Grants;
use esclusa_flow::item::Item;
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::secrets::Secrets;
use esclusa_flow::settings::{Instances, Limits};
use esclusa_flow::timestamp::Timestamp;
use esclusa_pipeline::commit::{CommitBuilder, CommitRules, PreparedCommit, ProgressKind};
use esclusa_sandbox::{ConfiguredPlugin, PluginFile, RouteSettings, Sandbox, SandboxConfig};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use wit_component::StringEncoding;

/// The address at which the input lies in the guest's memory, and of the answer.
pub(crate) const AT: usize = 2048;
/// Most bytes of an input: behind it the batch lies.
const MOST: usize = (64 << 10) - AT;
/// Events of a batch; the first one has the input as its data.
const EVENTS: usize = 3;

/// The guests, and what they run on.
pub(crate) struct Harness {
    runtime: Runtime,
    guests: [ConfiguredPlugin; 2],
}

impl Harness {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let guests = runtime.block_on(async {
            let sandbox = Sandbox::new(SandboxConfig { instances: 4, ..SandboxConfig::default() }).unwrap();
            [guest(&sandbox, StringEncoding::UTF8).await, guest(&sandbox, StringEncoding::CompactUTF16).await]
        });
        Harness { runtime, guests }
    }

    /// The target.
    pub(crate) fn target(self) -> impl FnMut(&[u8]) {
        move |data: &[u8]| {
            let data = data.get(..MOST).unwrap_or(data);
            let batch = batch(data);
            let [ours, theirs] = &self.guests;
            let call = |guest: &ConfiguredPlugin| {
                self.runtime.block_on(guest.call(&batch.origin, &batch.columns, Arc::new(NoReads)))
            };
            let ours = call(ours);
            compare(&ours, &call(theirs));
            match ours {
                Ok(output) => take(&batch, output),
                Err(CallError::Failed(failure)) => {
                    assert!(matches!(failure.kind, FailureKind::Trap | FailureKind::Effects), "{failure:?}");
                }
                Err(CallError::Retry(why) | CallError::Halt(why)) => {
                    assert!(why.len() <= 5 << 10, "{} bytes", why.len())
                }
                Err(CallError::Host(fault)) => panic!("{fault}"),
            }
        }
    }
}

/// A guest that copies the data of its batch to [`AT`] and answers with that.
async fn guest(sandbox: &Sandbox, encoding: StringEncoding) -> ConfiguredPlugin {
    // The bytes of a batch are the last of its lists: address and length.
    let copy = "(memory.copy (i32.const 2048) (i32.load offset=68 (local.get 0)) (i32.load offset=72 (local.get 0))) (i32.const 2048)";
    let core = Core { encoding, ..Core::handling(copy) };
    let loaded = sandbox.load(PluginFile::of("answers", core.build()).unwrap()).await.unwrap();
    let limits = Limits { effects: 100, output_bytes: 1 << 20, time: Duration::from_secs(60), ..Limits::default() };
    let (route, secrets) = ("r".into(), Secrets::default());
    let settings = RouteSettings { route, config: "{}".to_owned(), secrets, limits, instances: Instances::Fresh };
    loaded.configure(settings).await.unwrap()
}

fn batch(data: &[u8]) -> Batch {
    let mut columns = Columns::default();
    for at in 0..EVENTS {
        let data = if at == 0 { data } else { b"" };
        columns.push(&NewEvent { data, attempt: 1, ..NewEvent::default() }).unwrap();
    }
    let name = || "r".into();
    let origin = BatchOrigin { route: name(), source: name(), kind: "stream".into(), lane: name(), ordered: true };
    let claims = (0..EVENTS as u64).map(|at| Claim::new(Token::Offset(at))).collect();
    Batch { origin, columns: columns.into(), claims, previous: None }
}

/// Both readers agree if every text is ASCII, which both encodings write in the same way.
fn compare(ours: &Result<CallOutput, CallError>, theirs: &Result<CallOutput, CallError>) {
    // Texts of the other encoding have an alignment of two, and a length with a tag.
    let Ok(theirs) = theirs else { return };
    if !format!("{theirs:?}").is_ascii() || format!("{theirs:?}").contains("\\u{") {
        return;
    }
    match ours {
        Ok(ours) => assert_eq!(ours, theirs, "the generated reader reads otherwise"),
        Err(error) => panic!("the generated reader reads {theirs:?}, and ours says {error:?}"),
    }
}

/// Takes an output all the way to its commit.
fn take(batch: &Batch, output: CallOutput) {
    let named = |name: &str| BTreeSet::from([name.to_owned()]);
    let grants = Grants { tables: named("t"), objects: named("o"), read_objects: named("o"), outputs: named("out") };
    if let Err(failure) = grants.check(&output, EVENTS) {
        let kinds = [FailureKind::Denied, FailureKind::Item, FailureKind::Contract];
        assert!(kinds.contains(&failure.kind) && failure.message.len() < 1 << 20, "{failure:?}");
        return;
    }
    let backoff = Backoff { base: Duration::ZERO, max: Duration::ZERO };
    let policy =
        RetryPolicy { max_retry_attempts: Some(1), max_record_age: None, bisect: true, release: false, backoff };
    let mut delivery = Delivery::new(&batch.columns, true, policy, 1);
    let (mut ended, mut first, mut last) = (0, Some(output), CallOutput::default());
    for step in 0.. {
        assert!(step < 100, "the delivery does not end");
        let now = Moment { monotonic: Duration::from_secs(step), wall: Timestamp::from_millis(1) };
        match delivery.step(now) {
            Step::Call(_) => {
                last = first.take().unwrap_or_default();
                delivery.called(Ok(last.clone()), now);
            }
            Step::Wait(_) => {}
            Step::Commit(settlement) => {
                ended += settlement.verdicts.len();
                committed(batch, &settlement, std::mem::take(&mut last));
                delivery.committed();
            }
            Step::Finished => break,
            Step::Halted(why) => panic!("{why}"),
        }
    }
    assert_eq!(ended, EVENTS, "each event has one end");
}

fn committed(batch: &Batch, settlement: &esclusa_flow::delivery::Settlement, output: CallOutput) {
    let external = BTreeSet::from(["out".to_owned()]);
    let rules = CommitRules { progress: ProgressKind::Position, external, dedup: true, on_failure: None };
    let builder =
        CommitBuilder { rules: &rules, handler: &Default::default(), batch, previous: None, now: Timestamp::default() };
    let kept = output.effects.iter().filter(|effect| settlement.keeps(effect.cause)).count();
    let PreparedCommit { commit, causes } = builder.build(settlement, output, |_| 1);
    assert_eq!(commit.actions.len(), causes.len());
    assert_eq!(commit.actions.len() + commit.outbox.len(), kept, "effects of events that are not done are left out");
    let ids: BTreeSet<_> = commit.outbox.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), commit.outbox.len(), "no two messages share an id");
    let counts = commit.counts;
    assert_eq!(counts.done + counts.skipped + counts.dead, settlement.verdicts.len() as u64);
    assert_eq!(counts.dead, commit.dead.len() as u64);
}

/// Reads that find nothing.
struct NoReads;

impl Reads for NoReads {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        Box::pin(async { Ok(None) })
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
