//! Jobs that wait for the writer, and which of them make the next group.
//!
//! A commit may read and make far more than it writes: updates of large items. Routes whose last commit did are heavy. A group
//! takes every light job first, and then a single heavy one: a light route waits for one heavy commit, however many
//! wait, and a heavy route for one group.

use super::{Demand, WriterJob};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Jobs of a group, at most: bounds the time until the first of them is answered.
const GROUP_JOBS: usize = 256;
/// Bytes of a group; the job that passes it is the last one.
pub const GROUP_BYTES: usize = 8 << 20;
/// Steps of a group; likewise.
const GROUP_STEPS: u64 = 16 << 20;
/// Steps of a commit from which on its route is heavy: some milliseconds.
const HEAVY: u64 = 2 << 20;

/// The jobs that wait.
#[derive(Default)]
pub(crate) struct JobQueue {
    waiting: VecDeque<WriterJob>,
    heavy: HashSet<Arc<str>>,
}

impl JobQueue {
    /// True if nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a job at the end.
    pub(crate) fn push(&mut self, job: WriterJob) {
        self.waiting.push_back(job);
    }

    /// Takes all that has come over the channel: a light job may be behind any number of heavy ones.
    pub(crate) fn fill(&mut self, jobs: &Receiver<WriterJob>) {
        self.waiting.extend(jobs.try_iter());
    }

    /// The next group, which is not empty if something waits.
    pub(crate) fn group(&mut self) -> JobGroup<'_> {
        JobGroup { queue: self, bytes: 0, count: 0, ended: false, heavy: false, before: 0, last: None }
    }

    fn is_heavy(&self, job: &WriterJob) -> bool {
        job.route.as_ref().is_some_and(|route| self.heavy.contains(route))
    }

    /// Index of the first heavy or light job that may come now: no job overtakes one that has to be alone.
    fn first(&self, heavy: bool) -> Option<usize> {
        let before = self.waiting.iter().position(|job| job.demand == Demand::Alone).unwrap_or(self.waiting.len());
        self.waiting.iter().take(before).position(|job| self.is_heavy(job) == heavy)
    }
}

/// A group in the making.
pub(crate) struct JobGroup<'q> {
    queue: &'q mut JobQueue,
    bytes: usize,
    count: usize,
    /// Nothing may follow.
    ended: bool,
    /// One of its jobs turned out to be heavy: it has no room for another.
    heavy: bool,
    /// Steps of the group before its last job.
    before: u64,
    /// The route of the last job.
    last: Option<Arc<str>>,
}

impl JobGroup<'_> {
    /// The next job of the group, whose jobs have taken `spent` steps so far.
    pub(crate) fn next(&mut self, spent: u64) -> Option<WriterJob> {
        self.note(spent);
        if self.ended {
            return None;
        }
        let full = self.count >= GROUP_JOBS || self.bytes >= GROUP_BYTES || spent >= GROUP_STEPS;
        let light = if full { None } else { self.queue.first(false) };
        // A heavy job, or one that is alone, is the last one. The heavy one comes even if the group is full: else light ones
        // that keep coming would keep it out.
        self.ended = light.is_none();
        let alone = (self.count == 0).then_some(0);
        let heavy = || if self.heavy { None } else { self.queue.first(true) };
        let at = light.or_else(heavy).or(alone)?;
        let job = self.queue.waiting.remove(at)?;
        (self.bytes, self.count) = (self.bytes.saturating_add(job.bytes), self.count.saturating_add(1));
        self.last = job.route.clone();
        Some(job)
    }

    /// Ends the group; gives the bytes of its jobs.
    pub(crate) fn end(mut self, spent: u64) -> usize {
        self.note(spent);
        self.bytes
    }

    /// Notes the steps of the last job, and whether its route is heavy.
    fn note(&mut self, spent: u64) {
        let steps = spent.saturating_sub(std::mem::replace(&mut self.before, spent));
        self.heavy |= steps >= HEAVY;
        match self.last.take() {
            Some(route) if steps >= HEAVY => drop(self.queue.heavy.insert(route)),
            Some(route) => drop(self.queue.heavy.remove(&route)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(route: Option<&str>, demand: Demand, bytes: usize) -> WriterJob {
        WriterJob { run: Box::new(|_| Box::new(|_| ())), bytes, demand, route: route.map(Into::into) }
    }

    /// The routes of the groups that the jobs make, if a commit of a route that begins with "heavy" takes `steps`.
    fn groups(queue: &mut JobQueue, steps: u64) -> Vec<Vec<String>> {
        let mut groups = Vec::new();
        while !queue.is_empty() {
            let (mut group, mut spent, mut names) = (queue.group(), 0, Vec::new());
            while let Some(job) = group.next(spent) {
                let name = job.route.as_deref().unwrap_or(if job.demand == Demand::Alone { "alone" } else { "" });
                spent += if name.starts_with("heavy") { steps } else { 10 };
                names.push(name.to_owned());
            }
            group.end(spent);
            groups.push(names);
        }
        groups
    }

    fn queue(routes: &[&str]) -> JobQueue {
        let mut queue = JobQueue::default();
        routes.iter().for_each(|route| queue.push(job(Some(route), Demand::Durable, 10)));
        queue
    }

    #[test]
    fn light_jobs_are_one_group_in_their_order() {
        assert_eq!(groups(&mut queue(&["a", "b", "a", "c"]), 0), [["a", "b", "a", "c"]]);
    }

    #[test]
    fn a_light_route_waits_for_one_heavy_commit_and_no_more() {
        let mut queue = queue(&["heavy", "heavy", "heavy", "a", "heavy", "a"]);
        let groups = groups(&mut queue, 64 << 20);
        assert_eq!(groups, [vec!["heavy"], vec!["a", "a", "heavy"], vec!["heavy"], vec!["heavy"]]);
    }

    #[test]
    fn light_jobs_that_fill_every_group_do_not_keep_a_heavy_one_out() {
        let mut queue = queue(&["heavy", "heavy"]);
        groups(&mut queue, HEAVY);
        (0..3 * GROUP_JOBS).for_each(|_| queue.push(job(Some("light"), Demand::Durable, 10)));
        (0..2).for_each(|_| queue.push(job(Some("heavy"), Demand::Durable, 10)));
        let groups = groups(&mut queue, HEAVY);
        let heavy = |group: &Vec<String>| group.iter().filter(|name| *name == "heavy").count();
        assert_eq!(groups.iter().map(heavy).collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [GROUP_JOBS + 1, GROUP_JOBS + 1, GROUP_JOBS]);
    }

    #[test]
    fn a_heavy_route_that_is_light_again_is_treated_so() {
        let mut queue = queue(&["heavy", "heavy"]);
        assert_eq!(groups(&mut queue, HEAVY), [["heavy"], ["heavy"]]);
        queue.push(job(Some("heavy"), Demand::Durable, 10));
        queue.push(job(Some("heavy"), Demand::Durable, 10));
        assert_eq!(groups(&mut queue, 1), [["heavy"], ["heavy"]]);
        queue.push(job(Some("heavy"), Demand::Durable, 10));
        queue.push(job(Some("heavy"), Demand::Durable, 10));
        assert_eq!(groups(&mut queue, 1), [["heavy", "heavy"]]);
    }

    #[test]
    fn a_job_that_is_to_be_alone_is() {
        let mut queue = queue(&["a"]);
        queue.push(job(None, Demand::Alone, 0));
        queue.push(job(Some("b"), Demand::Durable, 0));
        assert_eq!(groups(&mut queue, 0), [["a"], ["alone"], ["b"]]);
    }

    #[test]
    fn a_group_ends_with_the_job_that_passes_its_bytes() {
        let mut queue = JobQueue::default();
        (0..3).for_each(|_| queue.push(job(Some("a"), Demand::Durable, GROUP_BYTES / 2)));
        assert_eq!(groups(&mut queue, 0), [vec!["a", "a"], vec!["a"]]);
    }

    proptest! {
        #[test]
        fn every_job_runs_once_and_those_of_a_route_in_their_order(
            jobs in proptest::collection::vec((0usize..4, 0usize..3, any::<u32>()), 0..60),
            heavy in any::<u64>(),
        ) {
            let mut queue = JobQueue::default();
            for (at, (route, demand, _)) in jobs.iter().enumerate() {
                let demand = [Demand::Durable, Demand::Written, Demand::Alone][*demand];
                let route = (demand == Demand::Durable).then(|| ["a", "b", "c", "d"][*route]);
                queue.push(job(route, demand, at));
            }
            let mut ran = Vec::new();
            let mut alone = Vec::new();
            while !queue.is_empty() {
                let (mut group, mut spent, first) = (queue.group(), 0u64, ran.len());
                while let Some(job) = group.next(spent) {
                    spent += if heavy >> (job.bytes % 64) & 1 == 1 { HEAVY } else { 1 };
                    ran.push(job.bytes);
                    if job.demand == Demand::Alone {
                        alone.push((first, job.bytes, ran.len()));
                    }
                }
                group.end(spent);
                prop_assert!(ran.len() > first, "a group is not empty");
                for (first, at, end) in alone.drain(..) {
                    prop_assert_eq!((first + 1, ran.len()), (end, end), "job {} was not alone", at);
                    prop_assert!(ran[..first].iter().all(|before| *before < at), "it was overtaken");
                    prop_assert_eq!(first, at, "it overtook");
                }
            }
            let mut sorted = ran.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..jobs.len()).collect::<Vec<_>>());
            for route in 0..4 {
                let of = |at: &&usize| jobs[**at].1 == 0 && jobs[**at].0 == route;
                prop_assert!(ran.iter().filter(of).is_sorted());
            }
        }
    }
}
