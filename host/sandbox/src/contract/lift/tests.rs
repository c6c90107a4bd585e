//! The reader against a writer of the same layout, with any output, and with any bytes instead of one.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A guest's memory, written from the front.
struct Memory(Vec<u8>);

impl Memory {
    fn place(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        let at = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        at
    }

    fn bytes(&mut self, bytes: &[u8]) -> Vec<u8> {
        [self.place(bytes).to_le_bytes(), (bytes.len() as u32).to_le_bytes()].concat()
    }

    fn text(&mut self, text: &str) -> Vec<u8> {
        self.bytes(text.as_bytes())
    }

    fn list<T>(&mut self, elements: &[T], size: usize, mut write: impl FnMut(&mut Self, &T) -> Vec<u8>) -> Vec<u8> {
        let mut records = Vec::new();
        for element in elements {
            let record = write(self, element);
            assert!(record.len() <= size);
            records.extend(padded(record, size));
        }
        [self.place(&records).to_le_bytes(), (elements.len() as u32).to_le_bytes()].concat()
    }

    fn option<T>(&mut self, value: Option<&T>, size: usize, write: impl FnOnce(&mut Self, &T) -> Vec<u8>) -> Vec<u8> {
        let record = value.map(|value| write(self, value));
        padded(variant(u8::from(value.is_some()), record.unwrap_or_default()), size + 4)
    }

    fn value(&mut self, value: &Value) -> Vec<u8> {
        let (tag, payload) = match value {
            Value::Text(v) => (0, self.text(v)),
            Value::Number(v) => (1, self.text(v)),
            Value::Binary(v) => (2, self.bytes(v)),
            Value::Boolean(v) => (3, vec![u8::from(*v)]),
            Value::Null => (4, vec![]),
            Value::TextSet(v) => (5, self.list(v, 8, |memory, text| memory.text(text))),
            Value::NumberSet(v) => (6, self.list(v, 8, |memory, text| memory.text(text))),
            Value::Document(v) => (7, self.text(v)),
        };
        padded(variant(tag, payload), 12)
    }

    fn item(&mut self, item: &Item) -> Vec<u8> {
        self.list(&item.0, 20, |memory, (name, value)| [memory.text(name), memory.value(value)].concat())
    }

    fn guard(&mut self, guard: Option<&Guard>) -> Vec<u8> {
        self.option(guard, 12, |memory, guard| {
            let terms = memory.list(&guard.condition.0, 24, |memory, (name, comparison)| {
                let (tag, payload) = match comparison {
                    Comparison::Exists => (0, vec![]),
                    Comparison::Absent => (1, vec![]),
                    Comparison::Equal(v) => (2, memory.value(v)),
                    Comparison::NotEqual(v) => (3, memory.value(v)),
                    Comparison::Less(v) => (4, memory.value(v)),
                    Comparison::LessOrEqual(v) => (5, memory.value(v)),
                    Comparison::Greater(v) => (6, memory.value(v)),
                    Comparison::GreaterOrEqual(v) => (7, memory.value(v)),
                    Comparison::BeginsWith(v) => (8, memory.text(v)),
                };
                [memory.text(name), padded(variant(tag, payload), 16)].concat()
            });
            [terms, vec![u8::from(guard.otherwise == Otherwise::Skip)]].concat()
        })
    }

    fn action(&mut self, action: &Action) -> Vec<u8> {
        let (tag, fields) = match action {
            Action::Put(put) => (0, vec![self.text(&put.table), self.item(&put.item), self.guard(put.guard.as_ref())]),
            Action::Update(update) => {
                let changes = self.list(&update.changes, 24, |memory, (name, change)| {
                    let (tag, payload) = match change {
                        AttributeChange::Set(value) => (0, memory.value(value)),
                        AttributeChange::Add(number) => (1, memory.text(number)),
                        AttributeChange::Remove => (2, vec![]),
                    };
                    [memory.text(name), variant(tag, payload)].concat()
                });
                let (table, key) = (self.text(&update.table), self.item(&update.key));
                (1, vec![table, key, changes, self.guard(update.guard.as_ref())])
            }
            Action::Delete(delete) => {
                (2, vec![self.text(&delete.table), self.item(&delete.key), self.guard(delete.guard.as_ref())])
            }
            Action::PutObject(object) => {
                let texts = [&object.store, &object.path, &object.content_type].map(|text| self.text(text));
                (3, [&texts[..], &[self.bytes(&object.bytes)]].concat())
            }
            Action::Send(send) => {
                let pairs = self.list(&send.attributes, 16, |memory, (name, value)| {
                    [memory.text(name), memory.text(value)].concat()
                });
                let key = self.option(send.key.as_ref(), 8, |memory, key| memory.text(key));
                (4, vec![self.text(&send.output), key, self.bytes(&send.data), pairs])
            }
        };
        variant(tag, fields.concat())
    }

    fn output(&mut self, output: &CallOutput) -> Vec<u8> {
        let number = |_: &mut Memory, number: &u32| number.to_le_bytes().to_vec();
        let effects = self.list(&output.effects, 52, |memory, effect| {
            [memory.option(effect.cause.map(|cause| cause.0).as_ref(), 4, number), memory.action(&effect.action)]
                .concat()
        });
        let outcomes = self.list(&output.outcomes, 16, |memory, outcome| {
            let (tag, payload) = match &outcome.disposition {
                Disposition::Retry(after) => (0, memory.option(after.as_ref(), 4, number)),
                Disposition::Reject(reason) => (1, memory.text(reason)),
                Disposition::Skip(reason) => (2, memory.text(reason)),
            };
            [outcome.event.0.to_le_bytes().to_vec(), variant(tag, payload)].concat()
        });
        let replies = self.list(&output.replies, 32, |memory, reply| {
            let status = padded(reply.status.to_le_bytes().to_vec(), 4);
            let headers = memory
                .list(&reply.headers, 16, |memory, (name, value)| [memory.text(name), memory.text(value)].concat());
            let content_type = memory.text(&reply.content_type);
            [reply.event.0.to_le_bytes().to_vec(), status, content_type, headers, memory.bytes(&reply.body)].concat()
        });
        [effects, outcomes, replies].concat()
    }
}

fn padded(mut record: Vec<u8>, size: usize) -> Vec<u8> {
    record.resize(size.max(record.len()), 0xee);
    record
}

/// Rubbish between the tag and the payload must not matter.
fn variant(tag: u8, payload: Vec<u8>) -> Vec<u8> {
    [vec![tag, 0xaa, 0xbb, 0xcc], payload].concat()
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::Text),
        any::<String>().prop_map(Value::Number),
        vec(any::<u8>(), 0..9).prop_map(Value::Binary),
        any::<bool>().prop_map(Value::Boolean),
        Just(Value::Null),
        vec(any::<String>(), 0..3).prop_map(Value::TextSet),
        vec(any::<String>(), 0..3).prop_map(Value::NumberSet),
        any::<String>().prop_map(Value::Document),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    vec((any::<String>(), value()), 0..4).prop_map(Item)
}

fn guard() -> impl Strategy<Value = Option<Guard>> {
    let comparison = prop_oneof![
        Just(Comparison::Exists),
        Just(Comparison::Absent),
        value().prop_map(Comparison::Equal),
        value().prop_map(Comparison::NotEqual),
        value().prop_map(Comparison::Less),
        value().prop_map(Comparison::LessOrEqual),
        value().prop_map(Comparison::Greater),
        value().prop_map(Comparison::GreaterOrEqual),
        any::<String>().prop_map(Comparison::BeginsWith),
    ];
    let otherwise = prop_oneof![Just(Otherwise::Rerun), Just(Otherwise::Skip)];
    let guard = (vec((any::<String>(), comparison), 0..3), otherwise);
    option::of(guard.prop_map(|(terms, otherwise)| Guard { condition: Condition(terms), otherwise }))
}

fn action() -> impl Strategy<Value = Action> {
    let text = any::<String>;
    let change = prop_oneof![
        value().prop_map(AttributeChange::Set),
        text().prop_map(AttributeChange::Add),
        Just(AttributeChange::Remove)
    ];
    prop_oneof![
        (text(), item(), guard()).prop_map(|(table, item, guard)| Action::Put(PutItem { table, item, guard })),
        (text(), item(), vec((text(), change), 0..3), guard())
            .prop_map(|(table, key, changes, guard)| Action::Update(UpdateItem { table, key, changes, guard })),
        (text(), item(), guard()).prop_map(|(table, key, guard)| Action::Delete(DeleteItem { table, key, guard })),
        (text(), text(), text(), vec(any::<u8>(), 0..9)).prop_map(|(store, path, content_type, bytes)| {
            Action::PutObject(PutObject { store, path, content_type, bytes })
        }),
        (text(), option::of(text()), vec(any::<u8>(), 0..9), vec((text(), text()), 0..3))
            .prop_map(|(output, key, data, attributes)| Action::Send(SendMessage { output, key, data, attributes })),
    ]
}

fn output() -> impl Strategy<Value = CallOutput> {
    let effect =
        (any::<Option<u32>>(), action()).prop_map(|(cause, action)| Effect { cause: cause.map(CallIndex), action });
    let disposition = prop_oneof![
        any::<Option<u32>>().prop_map(Disposition::Retry),
        any::<String>().prop_map(Disposition::Reject),
        any::<String>().prop_map(Disposition::Skip),
    ];
    let outcome = (any::<u32>(), disposition)
        .prop_map(|(event, disposition)| EventOutcome { event: CallIndex(event), disposition });
    let headers = vec((any::<String>(), any::<String>()), 0..3);
    let reply = (any::<u32>(), any::<u16>(), any::<String>(), headers, vec(any::<u8>(), 0..9)).prop_map(
        |(event, status, content_type, headers, body)| Reply {
            event: CallIndex(event),
            status,
            content_type,
            headers,
            body,
        },
    );
    (vec(effect, 0..4), vec(outcome, 0..4), vec(reply, 0..3)).prop_map(|(effects, outcomes, replies)| CallOutput {
        effects,
        outcomes,
        replies,
    })
}

fn read(memory: &[u8], record: &[u8]) -> Result<std::result::Result<CallOutput, BatchRefusal>> {
    AbiReader::new(memory, |_| Ok(())).answer(record)
}

proptest! {
    #[test]
    fn what_was_written_is_read(output in output()) {
        let mut memory = Memory(vec![0; 8]);
        let record = variant(0, memory.output(&output));
        prop_assert_eq!(record.len(), 28);
        prop_assert_eq!(read(&memory.0, &record).unwrap(), Ok(output));
    }

    #[test]
    fn whatever_else_is_there_is_an_error_and_never_a_panic(
        output in output(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..9), cut in any::<prop::sample::Index>(),
    ) {
        let mut memory = Memory(vec![0; 8]);
        let record = variant(0, memory.output(&output));
        for (at, byte) in changes {
            *at.get_mut(&mut memory.0) = byte;
        }
        let _ = read(&memory.0, &record);
        let _ = read(&memory.0[..cut.index(memory.0.len())], &record);
    }

    #[test]
    fn nothing_is_allocated_that_was_refused(output in output(), budget in 0usize..2000) {
        let mut memory = Memory(vec![0; 8]);
        let record = variant(0, memory.output(&output));
        let mut spent = 0usize;
        let spend = |bytes| { spent += bytes; if spent > budget { bail!("too much") } else { Ok(()) } };
        let read = AbiReader::new(&memory.0, spend).answer(&record);
        prop_assert_eq!(read.is_ok(), spent <= budget);
    }
}

#[test]
fn a_refusal_is_read_with_its_reason() {
    for (tag, refusal) in [(0, BatchRefusal::Retry("why".to_owned())), (1, BatchRefusal::Halt("why".to_owned()))] {
        let mut memory = Memory(vec![0; 8]);
        let reason = memory.text("why");
        assert_eq!(read(&memory.0, &variant(1, variant(tag, reason))).unwrap(), Err(refusal));
    }
}

#[test]
fn lists_that_reach_out_of_memory_are_refused() {
    for (address, count) in [(4u32, u32::MAX), (!3, 1), (64, 1), (2, 0)] {
        let list = [address.to_le_bytes(), count.to_le_bytes()].concat();
        let record = variant(0, [list, vec![0; 16]].concat());
        assert!(read(&[0; 64], &record).is_err(), "{address} {count}");
    }
}
