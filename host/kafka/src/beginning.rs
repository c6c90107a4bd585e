//! Where partitions that come are read from: the position of their store, else the group's offset, else the route's start.
//!
//! `starting_position` is for the partitions that exist when the group starts for the first time. The member that gets the first
//! partition of a topic decides that, and commits the places of all: a partition that has no offset while the first one has
//! came later, and is read from its oldest record.

use crate::client;
use crate::context::GroupConsumer;
use crate::partition::{Beginning, lane_id};
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::Start;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A topic and the number of a partition.
pub(crate) type Place = (String, i32);

/// An offset of each place.
pub(crate) type Offsets = BTreeMap<Place, i64>;

/// The longest that a request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// How a time stands for the oldest record, and for the end.
const OLDEST: i64 = -2;
const END: i64 = -1;

/// Finds beginnings with a consumer.
pub(crate) struct Beginnings<'a> {
    /// The consumer.
    pub consumer: &'a GroupConsumer,
    /// The start of a group.
    pub start: Start,
    /// False: there is no group, and every partition without a position begins at `start`.
    pub grouped: bool,
    /// Lanes that this process has read before. If the group has no offset of one, its topic was made again: it is read from its
    /// oldest record.
    pub seen: &'a BTreeSet<String>,
}

/// The places of a list.
pub(crate) fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

/// A list of places with an offset for each.
pub(crate) fn list<'a>(places: impl IntoIterator<Item = (&'a Place, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in places {
        // Only an offset that no number stands for is refused.
        let _ = list.add_partition_offset(topic, *partition, Offset::Offset(offset));
    }
    list
}

/// The offset of each place at a time, as far as the brokers tell it now.
fn offsets_at(consumer: &GroupConsumer, places: &[Place], time: i64) -> Result<Offsets, Fault> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in places {
        let _ = asked.add_partition_offset(topic, *partition, Offset::from_raw(time));
    }
    let answer = consumer.offsets_for_times(asked, REQUEST).map_err(|e| client::fault("list offsets", &e))?;
    Ok(known(&answer))
}

/// The offsets of a list that are numbers and not errors.
fn known(list: &TopicPartitionList) -> Offsets {
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) if element.error().is_ok() => {
            Some(((element.topic().to_owned(), element.partition()), offset))
        }
        _ => None,
    };
    list.elements().iter().filter_map(offset).collect()
}

/// The offsets of the oldest records and behind the last ones.
///
/// # Errors
/// A [`Fault`] if the brokers do not answer.
pub(crate) fn measure(consumer: &GroupConsumer, places: &[Place]) -> Result<(Offsets, Offsets), Fault> {
    Ok((offsets_at(consumer, places, OLDEST)?, offsets_at(consumer, places, END)?))
}

/// The group's offset of a place.
///
/// # Errors
/// A [`Fault`] if the brokers do not answer, or a transaction that moves it has not ended.
pub(crate) fn committed(consumer: &GroupConsumer, place: &Place) -> Result<Option<i64>, Fault> {
    Ok(offsets_of_group(consumer, std::slice::from_ref(place))?.get(place).copied())
}

fn offsets_of_group<'a>(
    consumer: &GroupConsumer,
    places: impl IntoIterator<Item = &'a Place>,
) -> Result<Offsets, Fault> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in places {
        list.add_partition(topic, *partition);
    }
    let answer = consumer.committed_offsets(list, REQUEST).map_err(|e| client::fault("fetch offsets", &e))?;
    match answer.elements().iter().find_map(|element| element.error().err()) {
        Some(error) => Err(client::fault("fetch offsets", &error)),
        None => Ok(known(&answer)),
    }
}

impl Beginnings<'_> {
    /// The beginnings of partitions. `stored`: positions of their store, by lane. `None`: another member has yet to decide where
    /// the group starts.
    ///
    /// # Errors
    /// A [`Fault`] if the brokers do not answer.
    pub(crate) fn find(
        &self,
        places: &[Place],
        stored: &BTreeMap<String, Token>,
        alone: bool,
    ) -> Result<Option<BTreeMap<Place, Beginning>>, Fault> {
        let ends = offsets_at(self.consumer, places, END)?;
        let committed = if self.grouped { self.committed(places)? } else { BTreeMap::new() };
        let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
        for place in places {
            let settled = stored.get(&lane_id(&place.0, place.1)).cloned();
            let next = match &settled {
                Some(Token::Offset(offset)) => Some(i64::try_from(*offset).unwrap_or(i64::MAX).saturating_add(1)),
                Some(Token::Text(text)) => {
                    let lane = lane_id(&place.0, place.1);
                    return Err(Fault::Permanent(format!(
                        "the stored position {text:?} of {lane} is no offset: rename the source"
                    )));
                }
                None => committed.get(place).copied(),
            };
            match next {
                Some(next) => {
                    let end = ends.get(place).copied();
                    found.insert(place.clone(), Beginning { next, settled, end });
                }
                None => missing.push(place.clone()),
            }
        }
        let Some(starts) = self.starts(&missing, &committed, alone)? else { return Ok(None) };
        for place in missing {
            let Some(next) = starts.get(&place).copied() else {
                let lane = lane_id(&place.0, place.1);
                return Err(Fault::Transient(format!("the brokers do not tell the offsets of {lane} now")));
            };
            let end = ends.get(&place).copied();
            found.insert(place, Beginning { next, settled: None, end });
        }
        Ok(Some(found))
    }

    /// The group's offsets of places, and of the first partitions of their topics.
    fn committed(&self, places: &[Place]) -> Result<Offsets, Fault> {
        let firsts = places.iter().map(|(topic, _)| (topic.clone(), 0));
        let asked: BTreeSet<Place> = places.iter().cloned().chain(firsts).collect();
        offsets_of_group(self.consumer, &asked)
    }

    /// The places of partitions without any position.
    fn starts(&self, missing: &[Place], committed: &Offsets, alone: bool) -> Result<Option<Offsets>, Fault> {
        if missing.is_empty() {
            return Ok(Some(BTreeMap::new()));
        }
        let (mut begins, mut late) = (BTreeSet::new(), Vec::new());
        for place in missing {
            let first = (place.0.clone(), 0);
            let read_before = self.seen.contains(&lane_id(&place.0, place.1));
            if self.grouped && (read_before || committed.contains_key(&first)) {
                late.push(place.clone());
            } else if !self.grouped || missing.contains(&first) || alone {
                begins.insert(place.clone());
            } else {
                return Ok(None);
            }
        }
        if self.grouped {
            begins.extend(self.partitions_that_exist(&begins)?);
        }
        let begins: Vec<Place> = begins.into_iter().collect();
        let mut starts = if begins.is_empty() { BTreeMap::new() } else { self.at_start(&begins)? };
        if !late.is_empty() {
            starts.extend(offsets_at(self.consumer, &late, OLDEST)?);
        }
        if self.grouped && !starts.is_empty() {
            let commit = list(starts.iter().map(|(place, offset)| (place, *offset)));
            self.consumer.commit(&commit, CommitMode::Sync).map_err(|e| client::fault("commit the start", &e))?;
        }
        Ok(Some(starts))
    }

    /// All partitions, without an offset of the group, of the topics whose first partition begins now.
    fn partitions_that_exist(&self, begins: &BTreeSet<Place>) -> Result<BTreeSet<Place>, Fault> {
        let mut all = Vec::new();
        for (topic, _) in begins.iter().filter(|(_, partition)| *partition == 0) {
            let doing = format!("ask for topic {topic:?}");
            let metadata = self.consumer.fetch_metadata(Some(topic), REQUEST).map_err(|e| client::fault(&doing, &e))?;
            let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
            all.extend(partitions.map(|partition| (topic.clone(), partition.id())));
        }
        if all.is_empty() {
            return Ok(BTreeSet::new());
        }
        let committed = self.committed(&all)?;
        Ok(all.into_iter().filter(|place| !committed.contains_key(place)).collect())
    }

    fn at_start(&self, places: &[Place]) -> Result<Offsets, Fault> {
        match self.start {
            Start::TrimHorizon => offsets_at(self.consumer, places, OLDEST),
            Start::Latest => offsets_at(self.consumer, places, END),
            Start::AtTimestamp(time) => {
                let mut starts = offsets_at(self.consumer, places, END)?;
                starts.extend(offsets_at(self.consumer, places, i64::try_from(time).unwrap_or(i64::MAX))?);
                Ok(starts)
            }
        }
    }
}
