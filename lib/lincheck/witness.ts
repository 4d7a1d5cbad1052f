/**
 * Puts the orders of all components together to one order of the whole history: the witness of a verdict
 * "linearizable".
 *
 * For plain reads and writes this always succeeds (locality). Revisions reach across components, so there two orders
 * may each be right and not fit together; then these components must be searched as one.
 */
import type { OrderedComponent } from "./numbering.ts";
import type { RevisionOrder } from "./revisions.ts";
import { keysOf, type Steps } from "./steps.ts";
import type { Turn } from "./store.ts";

/** One order, or sets of keys that have to be looked at together. */
export type Witness =
  | { readonly kind: "order"; readonly turns: readonly Turn[] }
  | { readonly kind: "conflict"; readonly together: readonly (readonly string[])[] };

/** Why one node comes before another: the order of this component, or (null) revisions or time. */
interface Edge {
  readonly from: number;
  readonly to: number;
  readonly component: number | null;
}

/** The steps' graph: a node for each step (its position) and, behind those, one for each instant of a return. */
interface Graph {
  readonly edges: readonly Edge[];
  readonly nodes: number;
}

/** A step that makes a revision, or was answered at one. */
interface Numbered {
  readonly position: number;
  readonly revision: number;
  readonly writes: boolean;
  /** False for a write that no answer showed: it may have any revision of the gap that its revision lies in. */
  readonly isFixed: boolean;
}

interface MergeOptions {
  readonly order: RevisionOrder;
  readonly ordered: readonly OrderedComponent[];
}

/** Merges the orders of components. O(n log n). */
export function merge(steps: Steps, { order, ordered }: MergeOptions): Witness {
  const numbered = numberedSteps(steps, { order, ordered });
  const placed = new Set(ordered.flatMap((each) => each.order.map(({ position }) => position)));
  for (const [position, step] of steps.steps.entries()) if (!step.optional) placed.add(position);
  const edges = [...orderEdges(ordered), ...revisionEdges([...numbered.values()])];
  const graph = withTimeEdges(edges, { steps, placed });
  const sorted = sortTopologically(graph);
  if (sorted.length < graph.nodes) {
    return { kind: "conflict", together: [keysOfCycle(steps, { graph, sorted, ordered })] };
  }
  let reached = 0;
  const turns: Turn[] = [];
  for (const position of sorted) {
    const step = steps.steps[position];
    if (step === undefined || !placed.has(position)) continue;
    const own = numbered.get(position);
    if (own !== undefined) reached = own.isFixed ? own.revision : order.nextUnseen(reached, position);
    turns.push({ operation: step.index, revision: step.writes && own !== undefined ? reached : null });
  }
  return { kind: "order", turns };
}

function numberedSteps({ steps }: Steps, { order, ordered }: MergeOptions): ReadonlyMap<number, Numbered> {
  const numbered = new Map<number, Numbered>();
  const add = (position: number, revision: number | null, isFixed: boolean): void => {
    const writes = steps[position]?.writes === true;
    if (revision !== null) numbered.set(position, { position, revision, writes, isFixed });
  };
  for (const position of steps.keys()) add(position, order.revisionOf(position), true);
  for (const { order: placements } of ordered) {
    for (const { position, revision, isUnseen } of placements) add(position, revision, !isUnseen);
  }
  return numbered;
}

function orderEdges(ordered: readonly OrderedComponent[]): readonly Edge[] {
  return ordered.flatMap(({ order }, component) =>
    order.flatMap(({ position }, i): Edge[] => {
      const before = order[i - 1];
      return before === undefined ? [] : [{ from: before.position, to: position, component }];
    })
  );
}

/** Fixed revisions make a chain; a write that no answer showed is placed between two of its links. */
function revisionEdges(numbered: readonly Numbered[]): readonly Edge[] {
  const rising = numbered.toSorted((a, b) =>
    a.revision - b.revision || Number(b.writes) - Number(a.writes) || a.position - b.position
  );
  const edges: Edge[] = [];
  let fixed: number | null = null;
  let unseen: number[] = [];
  for (const { position, isFixed } of rising) {
    if (fixed !== null) edges.push({ from: fixed, to: position, component: null });
    if (isFixed) {
      for (const from of unseen) edges.push({ from, to: position, component: null });
      fixed = position;
      unseen = [];
    } else unseen.push(position);
  }
  return edges;
}

/** A return is a node behind all that returned before it; a call comes behind the last return before it. */
function withTimeEdges(
  edges: readonly Edge[],
  { steps: { steps }, placed }: { readonly steps: Steps; readonly placed: ReadonlySet<number> },
): Graph {
  const returns = [...placed].map((position) => ({ position, time: steps[position]?.returnedAt ?? Infinity }))
    .filter(({ time }) => time < Infinity).sort((a, b) => a.time - b.time);
  const timed: Edge[] = returns.flatMap(({ position }, instant) => {
    const node = steps.length + instant;
    const after: Edge = { from: position, to: node, component: null };
    return instant === 0 ? [after] : [after, { from: node - 1, to: node, component: null }];
  });
  let instant = 0;
  for (const [position, { calledAt }] of steps.entries()) {
    while ((returns[instant]?.time ?? Infinity) < calledAt) instant++;
    if (instant > 0) timed.push({ from: steps.length + instant - 1, to: position, component: null });
  }
  return { edges: [...edges, ...timed], nodes: steps.length + returns.length };
}

/** As many nodes as can be put behind all that must come before them. */
function sortTopologically({ edges, nodes }: Graph): readonly number[] {
  const waitingFor = new Int32Array(nodes);
  const starts = new Int32Array(nodes + 1);
  for (const { from, to } of edges) {
    waitingFor[to] = (waitingFor[to] ?? 0) + 1;
    starts[from + 1] = (starts[from + 1] ?? 0) + 1;
  }
  for (let node = 0; node < nodes; node++) starts[node + 1] = (starts[node + 1] ?? 0) + (starts[node] ?? 0);
  const ends = starts.slice();
  const targets = new Int32Array(edges.length);
  for (const { from, to } of edges) {
    const end = ends[from] ?? 0;
    targets[end] = to;
    ends[from] = end + 1;
  }
  const sorted: number[] = [];
  for (let node = 0; node < nodes; node++) if (waitingFor[node] === 0) sorted.push(node);
  for (let i = 0; i < sorted.length; i++) {
    const node = sorted[i] ?? 0;
    for (const target of targets.subarray(starts[node], starts[node + 1])) {
      const left = (waitingFor[target] ?? 0) - 1;
      waitingFor[target] = left;
      if (left === 0) sorted.push(target);
    }
  }
  return sorted;
}

/** The keys of the components whose orders make a circle. */
function keysOfCycle(
  { steps }: Steps,
  { graph, sorted, ordered }: {
    readonly graph: Graph;
    readonly sorted: readonly number[];
    readonly ordered: readonly OrderedComponent[];
  },
): readonly string[] {
  const done = new Set(sorted);
  const before = new Map<number, Edge>();
  for (const edge of graph.edges) if (!done.has(edge.from) && !done.has(edge.to)) before.set(edge.to, edge);
  const walked = new Set<Edge>();
  let edge = before.values().next().value;
  // Every node that is left waits for another one that is left, so walking back never ends before it repeats.
  while (edge !== undefined && !walked.has(edge)) {
    walked.add(edge);
    edge = before.get(edge.from);
  }
  const cycle: Edge[] = [];
  for (let at = edge; at !== undefined && !cycle.includes(at); at = before.get(at.from)) cycle.push(at);
  const components = new Set(
    cycle.map(({ component }) => component).filter((component) => component !== null),
  );
  const keys = [...components].flatMap((component) => ordered[component]?.component.keys ?? []);
  if (components.size > 1) return keys;
  return [
    ...keys,
    ...cycle.flatMap(({ from }) => {
      const step = steps[from];
      return step === undefined ? [] : keysOf(step);
    }),
  ];
}
