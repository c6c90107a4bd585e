//! `esclusa invoke`: calls a route's plugin with given events and shows its effects. A live invocation carries them
//! out.

mod live;
mod show;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use esclusa_flow::call_output::{CallError, CallOutput};
use esclusa_flow::delivery::Moment;
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::granted_reads::GrantedReads;
use esclusa_flow::index::CallIndex;
use esclusa_flow::verdict::{Reason, Verdict};
use esclusa_pipeline::batch_filter::{self, FilterVerdicts};
use esclusa_pipeline::meter::{epoch_millis, timestamp_now};
use esclusa_pipeline::route::Route;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt::Formatter;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use live::{LiveReport, live};
pub(crate) use show::Invocation;

/// An event of an invocation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InvokeEvent {
    /// Its key.
    pub key: String,
    /// Its payload as text; an event has this or `base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Its payload in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Its attributes.
    #[serde(deserialize_with = "attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Most attributes of an event.
const ATTRIBUTES: usize = 1000;

/// Reads attributes, up to a limit: each takes far more memory than it has bytes.
fn attributes<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct AttributesVisitor;
    impl<'de> Visitor<'de> for AttributesVisitor {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
            write!(out, "an object of at most {ATTRIBUTES} attributes")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut read = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                // Checked before the insert: a hostile body never makes a large map.
                if read.len() >= ATTRIBUTES {
                    return Err(A::Error::custom(format!("an event may have {ATTRIBUTES} attributes")));
                }
                read.insert(name, value);
            }
            Ok(read)
        }
    }
    from.deserialize_map(AttributesVisitor)
}

impl InvokeEvent {
    /// An event with this payload.
    #[must_use]
    pub(crate) fn new(key: String, data: Vec<u8>, attributes: BTreeMap<String, String>) -> Self {
        let (data, base64) = match String::from_utf8(data) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes()))),
        };
        InvokeEvent { key, data, base64, attributes }
    }
}

/// Calls the route's plugin with the events as one batch, and gives the effects that it asks for. Its reads see the
/// tables as they are; nothing is written.
///
/// # Errors
/// A malformed event.
pub(crate) async fn dry_run(route: &Route, events: &[InvokeEvent]) -> Result<Invocation, String> {
    let columns = columns(events, "invoke")?;
    let filtered = filtered(sifted(route, &columns).await)?;
    // As in the route: the plugin does not get what the filter does not match.
    let called: Vec<usize> = (0..columns.len()).filter(|at| filtered.binary_search(at).is_err()).collect();
    let result = if called.is_empty() {
        Ok(CallOutput::default())
    } else {
        let batch = Arc::new(columns.select(called.iter().copied()));
        call(route, &origin(route), &batch).await.map(|output| renumbered(output, &called))
    };
    Ok(Invocation::new(route, columns.len(), filtered, result))
}

/// The output of a call with some of the events, with their numbers among all of them.
fn renumbered(mut output: CallOutput, called: &[usize]) -> CallOutput {
    let number = |at: &mut CallIndex| {
        if let Some(event) = called.get(at.at()).and_then(|event| u32::try_from(*event).ok()) {
            *at = CallIndex(event);
        }
    };
    output.effects.iter_mut().filter_map(|effect| effect.cause.as_mut()).for_each(number);
    output.outcomes.iter_mut().for_each(|outcome| number(&mut outcome.event));
    output.replies.iter_mut().for_each(|reply| number(&mut reply.event));
    output
}

/// The events as a batch; their ids are `name` and a number.
fn columns(events: &[InvokeEvent], name: &str) -> Result<Arc<Columns>, String> {
    let mut columns = Columns::default();
    for (at, event) in events.iter().enumerate() {
        let data = match (&event.data, &event.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => {
                BASE64.decode(text).map_err(|error| format!("event {at} is not in Base64: {error}"))?
            }
            _ => return Err(format!("event {at} needs either data or base64")),
        };
        let attributes: Vec<(&str, &str)> =
            event.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let id = format!("{name}-{at}");
        let new = NewEvent {
            id: &id,
            key: &event.key,
            data: &data,
            attributes: &attributes,
            timestamp: epoch_millis(),
            attempt: 1,
        };
        columns.push(&new).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(columns))
}

fn origin(route: &Route) -> BatchOrigin {
    BatchOrigin {
        route: route.spec.name.clone(),
        source: route.spec.source.clone(),
        kind: route.kind.clone(),
        lane: "invoke".into(),
        ordered: route.spec.ordered,
    }
}

/// The verdicts of the route's filter on the events.
async fn sifted(route: &Route, columns: &Arc<Columns>) -> FilterVerdicts {
    match batch_filter::filter_batch(route, columns) {
        Ok(sifted) => sifted,
        Err(mut sifting) => sifting.end().await,
    }
}

/// The events that the filter does not match.
fn filtered(sifted: FilterVerdicts) -> Result<Vec<usize>, String> {
    let filtered = sifted.into_iter().map(|(at, verdict)| match verdict {
        Verdict::Dead(Reason { code, message, .. }) => {
            Err(format!("event {} would be given up ({code}): {message}", at.0))
        }
        _ => Ok(at.at()),
    });
    filtered.collect()
}

/// The clocks of a delivery that has no lane: of a live invocation or a redrive.
pub(super) struct DeliveryClock(Instant);

impl DeliveryClock {
    pub(super) fn start() -> Self {
        DeliveryClock(Instant::now())
    }

    pub(super) fn now(&self) -> Moment {
        Moment { monotonic: self.0.elapsed(), wall: timestamp_now() }
    }

    /// Waits until `due` on the monotonic clock.
    pub(super) async fn wait_until(&self, due: Duration) {
        tokio::time::sleep(due.saturating_sub(self.0.elapsed())).await;
    }
}

/// Calls the route's plugin, and checks its effects against the route's grants.
pub(super) async fn call(route: &Route, origin: &BatchOrigin, columns: &Arc<Columns>) -> Result<CallOutput, CallError> {
    let reads = Arc::new(GrantedReads::new(&route.spec.grants, route.engine.reads()));
    let output = route.plugin().plugin.call(origin, columns, reads).await?;
    route.spec.check(&output, columns.len())?;
    Ok(output)
}
