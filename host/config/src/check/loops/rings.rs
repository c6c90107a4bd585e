//! Rings in a directed graph. Pure: it knows no routes.

use std::collections::VecDeque;

/// Rings, each as its nodes in order from the first one on: every node that lies on a ring is in one of them. At most `most`.
///
/// `edges` has the successors of each node. An edge of a node to itself counts as none. The rings are shortest ones, so they
/// say what belongs together.
pub(super) fn rings(edges: &[Vec<usize>], most: usize) -> Vec<Vec<usize>> {
    let components = components(edges);
    let mut covered = vec![false; edges.len()];
    let mut rings = Vec::new();
    for start in 0..edges.len() {
        if rings.len() >= most || covered.get(start).copied().unwrap_or(true) {
            continue;
        }
        let Some(ring) = shortest(edges, &components, start) else { continue };
        for node in &ring {
            if let Some(covered) = covered.get_mut(*node) {
                *covered = true;
            }
        }
        rings.push(ring);
    }
    rings
}

/// A shortest ring through `start`, which stays in its component.
fn shortest(edges: &[Vec<usize>], components: &[usize], start: usize) -> Option<Vec<usize>> {
    let own = components.get(start)?;
    let mut before: Vec<Option<usize>> = vec![None; edges.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &next in edges.get(node)? {
            if next == start && node != start {
                let mut ring = vec![node];
                while let Some(node) = before.get(*ring.last()?)?.filter(|node| *node != start) {
                    ring.push(node);
                }
                ring.push(start);
                ring.reverse();
                return Some(ring);
            }
            if next != start && components.get(next) == Some(own) && before.get(next)?.is_none() {
                *before.get_mut(next)? = Some(node);
                queue.push_back(next);
            }
        }
    }
    None
}

/// The strongly connected component of each node, by a number (Kosaraju's algorithm, without recursion). Nodes that lie on no
/// ring with others have components of their own, so no search begins in vain.
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (node, successors) in edges.iter().enumerate() {
        for next in successors {
            if let Some(predecessors) = backwards.get_mut(*next) {
                predecessors.push(node);
            }
        }
    }
    let (mut seen, mut finished) = (vec![false; edges.len()], Vec::new());
    for root in 0..edges.len() {
        visit(edges, root, &mut seen, |node| finished.push(node));
    }
    let (mut seen, mut component) = (vec![false; edges.len()], vec![0; edges.len()]);
    for root in finished.into_iter().rev() {
        visit(&backwards, root, &mut seen, |node| {
            if let Some(slot) = component.get_mut(node) {
                *slot = root;
            }
        });
    }
    component
}

/// Visits every node that can be reached from `root` and was not seen, in the order in which they are finished.
fn visit(edges: &[Vec<usize>], root: usize, seen: &mut [bool], mut finish: impl FnMut(usize)) {
    let mut enter = |node: usize| seen.get_mut(node).is_some_and(|seen| !std::mem::replace(seen, true));
    if !enter(root) {
        return;
    }
    // Each node with the number of its successors that were looked at.
    let mut path = vec![(root, 0)];
    while let Some((node, looked)) = path.last_mut() {
        match edges.get(*node).and_then(|successors| successors.get(*looked)) {
            Some(next) => {
                *looked += 1;
                if enter(*next) {
                    path.push((*next, 0));
                }
            }
            None => {
                finish(*node);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Which nodes reach which by one edge or more, naively.
    fn reached(edges: &[Vec<usize>]) -> Vec<Vec<bool>> {
        let mut reached = vec![vec![false; edges.len()]; edges.len()];
        for (node, successors) in edges.iter().enumerate() {
            for next in successors.iter().filter(|next| **next != node) {
                reached[node][*next] = true;
            }
        }
        for by in 0..edges.len() {
            for from in 0..edges.len() {
                for to in 0..edges.len() {
                    reached[from][to] |= reached[from][by] && reached[by][to];
                }
            }
        }
        reached
    }

    fn graph() -> impl Strategy<Value = Vec<Vec<usize>>> {
        (1usize..12).prop_flat_map(|nodes| prop::collection::vec(prop::collection::vec(0..nodes, 0..4), nodes))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

        #[test]
        fn every_node_on_a_ring_is_in_a_reported_ring_and_every_reported_ring_is_one(edges in graph()) {
            let (rings, reached) = (rings(&edges, usize::MAX), reached(&edges));
            for ring in &rings {
                let next = ring.iter().cycle().skip(1);
                prop_assert!(ring.len() > 1 && ring.iter().zip(next).all(|(node, next)| edges[*node].contains(next)), "{ring:?}");
                let mut unique = ring.clone();
                unique.sort_unstable();
                unique.dedup();
                prop_assert_eq!(unique.len(), ring.len(), "each node once");
            }
            for (node, reached) in reached.iter().enumerate() {
                prop_assert_eq!(rings.iter().any(|ring| ring.contains(&node)), reached[node], "node {}", node);
            }
            prop_assert!(super::rings(&edges, 1).len() <= 1);
        }
    }

    #[test]
    fn a_ring_of_a_hundred_thousand_nodes_is_found_without_recursion() {
        let nodes = 100_000;
        let edges: Vec<Vec<usize>> = (0..nodes).map(|node| vec![(node + 1) % nodes]).collect();
        assert_eq!(rings(&edges, 10), [(0..nodes).collect::<Vec<_>>()]);
    }
}
