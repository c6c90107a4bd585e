//! Sends messages in batch requests, for any service, with a result for each message.

use super::entry_fault;
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::SendError;
use esclusa_flow::fault::Fault;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::sleep;

/// Requests at the same time.
const AT_ONCE: usize = 4;
/// How often a message is tried before the caller gets its fault.
const ATTEMPTS: u32 = 4;

/// A service that takes several messages in a request.
pub(crate) trait BatchRequests: Sync {
    /// Most messages of a request, and most bytes; one larger message goes alone, for the service to judge.
    fn limits(&self) -> (usize, usize);

    /// The key whose messages must arrive in order; `None`: any order will do.
    fn order<'a>(&self, message: &'a OutboxMessage) -> Option<&'a str>;

    /// Sends one request; results align with the messages.
    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>>;
}

/// Sends messages; results align with them. A key has at most one message on its way, so that one that fails is never
/// overtaken; after it failed for good in this call, the later ones of its key are not tried.
pub(crate) async fn send(service: &dyn BatchRequests, messages: &[OutboxMessage]) -> Vec<Result<(), SendError>> {
    let mut results: Vec<Option<Result<(), SendError>>> = vec![None; messages.len()];
    let mut attempts = 0;
    loop {
        let wave = wave(service, messages, &results);
        if wave.is_empty() {
            break;
        }
        let mut failed = Vec::new();
        for requests in cut(service, messages, &wave).chunks(AT_ONCE) {
            let answers = join_all(requests.iter().map(|request| isolate(service, messages, request))).await;
            for (index, result) in requests.iter().flatten().zip(answers.into_iter().flatten()) {
                match (result, results.get_mut(*index)) {
                    (Err(fault), _) if !matches!(fault, Fault::Permanent(_)) => failed.push((*index, fault)),
                    (result, Some(slot)) => *slot = Some(result.map_err(SendError::from)),
                    _ => {}
                }
            }
        }
        attempts = if failed.is_empty() { 0 } else { attempts + 1 };
        if attempts >= ATTEMPTS {
            fail(service, messages, &mut results, failed);
            attempts = 0;
        } else if !failed.is_empty() {
            sleep(Duration::from_millis(50) * 2u32.pow(attempts)).await;
        }
    }
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Err(Fault::Bug("a message was not sent".to_owned()).into())))
        .collect()
}

/// The messages that may be sent now: of each key the first one without a result.
fn wave(
    service: &dyn BatchRequests,
    messages: &[OutboxMessage],
    results: &[Option<Result<(), SendError>>],
) -> Vec<usize> {
    let mut keys = HashSet::new();
    let open = messages.iter().zip(results).enumerate().filter(|(_, (_, result))| result.is_none());
    open.filter(|(_, (message, _))| service.order(message).is_none_or(|key| keys.insert(key)))
        .map(|(index, _)| index)
        .collect()
}

/// Cuts a wave into requests.
fn cut(service: &dyn BatchRequests, messages: &[OutboxMessage], wave: &[usize]) -> Vec<Vec<usize>> {
    let (most, bytes) = service.limits();
    let (mut requests, mut request, mut size) = (Vec::new(), Vec::new(), 0);
    for &index in wave {
        let own = messages.get(index).map_or(0, super::size);
        if !request.is_empty() && (request.len() >= most || size + own > bytes) {
            requests.push(std::mem::take(&mut request));
            size = 0;
        }
        request.push(index);
        size += own;
    }
    requests.push(request);
    requests
}

/// Sends a request. If it is refused for good as a whole it is halved, until the message at fault stands alone.
fn isolate<'a>(
    service: &'a dyn BatchRequests,
    messages: &'a [OutboxMessage],
    request: &'a [usize],
) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
    Box::pin(async move {
        let mut results = service.request(request.iter().filter_map(|index| messages.get(*index)).collect()).await;
        results.resize_with(request.len(), || {
            Err(Fault::Transient("the service gave no result for the message".to_owned()))
        });
        if request.len() < 2 || !results.iter().all(|result| matches!(result, Err(Fault::Permanent(_)))) {
            return results;
        }
        let (first, second) = request.split_at(request.len() / 2);
        let mut results = isolate(service, messages, first).await;
        results.extend(isolate(service, messages, second).await);
        results
    })
}

/// Gives up for now the messages that failed too often, and those that would overtake them.
fn fail(
    service: &dyn BatchRequests,
    messages: &[OutboxMessage],
    results: &mut [Option<Result<(), SendError>>],
    failed: Vec<(usize, Fault)>,
) {
    let keys: HashSet<_> = failed.iter().filter_map(|(index, _)| service.order(messages.get(*index)?)).collect();
    for (message, slot) in messages.iter().zip(results.iter_mut()).filter(|(_, slot)| slot.is_none()) {
        if service.order(message).is_some_and(|key| keys.contains(key)) {
            *slot = Some(Err(SendError::NotTried));
        }
    }
    for (index, fault) in failed {
        if let Some(slot) = results.get_mut(index) {
            *slot = Some(Err(fault.into()));
        }
    }
}

/// The group of a FIFO queue's or topic's messages without a key.
const GROUP: &str = "esclusa";

/// The group of a message.
pub(crate) fn group(message: &OutboxMessage) -> &str {
    message.send.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(GROUP)
}

/// An entry that a service did not take.
pub(crate) struct RefusedEntry {
    /// Its id: the index of its message.
    pub id: String,
    /// The service's code.
    pub code: String,
    /// In words.
    pub message: Option<String>,
    /// The message is at fault, not the service.
    pub sender_fault: bool,
}

/// Sends messages as the entries of one request; results align with them. A message that cannot be an entry fails by
/// itself; if none is left, no request is sent.
pub(crate) async fn request_batch<E, F: Future<Output = Result<Vec<RefusedEntry>, Fault>>>(
    doing: &str,
    messages: &[&OutboxMessage],
    entry: impl Fn(usize, &OutboxMessage) -> Result<E, Fault>,
    send: impl FnOnce(Vec<E>) -> F,
) -> Vec<Result<(), Fault>> {
    let mut entries = Vec::with_capacity(messages.len());
    let made = messages.iter().enumerate().map(|(index, message)| entry(index, message).map(|e| entries.push(e)));
    let mut results: Vec<Result<(), Fault>> = made.collect();
    if entries.is_empty() {
        return results;
    }
    match send(entries).await {
        Ok(refused) => {
            for RefusedEntry { id, code, message, sender_fault } in refused {
                if let Some(slot) = id.parse().ok().and_then(|index: usize| results.get_mut(index)) {
                    *slot = Err(entry_fault(doing, &code, message.as_deref().unwrap_or_default(), sender_fault));
                }
            }
            results
        }
        Err(fault) => results.into_iter().map(|result| result.and(Err(fault.clone()))).collect(),
    }
}

#[cfg(test)]
mod tests;
