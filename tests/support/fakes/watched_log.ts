/** A log of events that the nodes of a {@link FakeCluster} serve to watches, as real nodes do. */
import type { ClientRequest, ServerFrame, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import type { WatchEndCode } from "../../../lib/protocol/messages.ts";
import type { FakeCluster, FakeNode, Reply } from "./scripted_node.ts";

type Events = ServerFrame<"watchEvents">["events"];
type WatchFrame = Extract<ClientRequest, { readonly kind: "watch" }>;

/** The events of all revisions, and the watches of all nodes. */
export class WatchedLog {
  readonly #cluster: FakeCluster;
  /** The events of revision `index + 1`. */
  readonly #revisions: Events[] = [];
  /** Watches by node and id; `next` is the first revision that was not sent. */
  readonly #watches = new Map<FakeNode, Map<number, { next: number }>>();
  /** The requests for watches, in order, with the node that received each. */
  readonly started: { readonly node: number; readonly from: number | null }[] = [];
  /** Reads from revisions up to this one are refused. */
  compactedRevision = 0;
  /** While true, nodes send no events of new revisions. */
  isHeld = false;

  /** Serves watches from every node of a cluster; other requests are answered as before. */
  constructor(cluster: FakeCluster) {
    this.#cluster = cluster;
    for (const node of cluster.nodes) {
      this.#watches.set(node, new Map());
      node.serve = (request) => this.#answer(node, request);
    }
  }

  /** The present revision. */
  get revision(): number {
    return this.#revisions.length;
  }

  /** Watches that are open. */
  get size(): number {
    return [...this.#watches.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Appends a revision and sends it to every watch. */
  append(events: Events): void {
    this.#revisions.push(events);
    if (!this.isHeld) this.feed();
  }

  /** Appends a revision that puts one key. */
  put(key: string, value = `value ${this.revision + 1}`): void {
    const revision = this.revision + 1;
    const [keyBytes, valueBytes] = [key, value].map((text) => new TextEncoder().encode(text));
    if (keyBytes === undefined || valueBytes === undefined) return;
    const versions = { createRevision: revision, modRevision: revision, version: 1 };
    this.append([{ kind: "put", entry: { key: keyBytes, value: valueBytes, ...versions } }]);
  }

  /** Sends every watch what it was not sent yet. */
  feed(): void {
    for (const [node, watches] of this.#watches) {
      if (node.isHung) continue;
      for (const [watchId, watch] of watches) {
        while (watch.next <= this.revision) {
          const events = this.#revisions[watch.next - 1] ?? [];
          node.broadcast({ kind: "watchEvents", watchId, revision: watch.next, events, more: false });
          watch.next += 1;
        }
      }
    }
  }

  /** Ends all watches of a node with a notice. */
  end(id: number, code: WatchEndCode): void {
    const node = this.#cluster.node(id);
    for (const watchId of this.#watches.get(node)?.keys() ?? []) {
      const { compactedRevision } = this;
      const end = { kind: "watchEnded", watchId, code, message: "The test ended it." } as const;
      node.broadcast(code === "compacted" ? { ...end, compactedRevision } : end);
    }
    this.#watches.get(node)?.clear();
  }

  /** Ends the connections of a node. */
  disconnect(id: number): void {
    const node = this.#cluster.node(id);
    this.#watches.get(node)?.clear();
    node.disconnect();
  }

  /** Sends the watches of a node a message that depends on their id. */
  send(id: number, message: (watchId: number) => ServerMessage): void {
    const node = this.#cluster.node(id);
    for (const watchId of this.#watches.get(node)?.keys() ?? []) node.broadcast(message(watchId));
  }

  #answer(node: FakeNode, request: ClientRequest): Reply | null {
    if (request.kind === "watch") return this.#start(node, request);
    if (request.kind === "cancelWatch") this.#watches.get(node)?.delete(request.watchId);
    return null;
  }

  #start(node: FakeNode, { requestId, from }: WatchFrame): Reply {
    const { revision, compactedRevision } = this;
    this.started.push({ node: node.id, from });
    if (from !== null && from <= compactedRevision) {
      const message = "Cannot watch: the history is compacted.";
      const refusal = { code: "compacted", message, outcome: "not-applied", leader: 1 } as const;
      return { kind: "error", requestId, ...refusal, compactedRevision };
    }
    this.#watches.get(node)?.set(requestId, { next: from ?? revision + 1 });
    queueMicrotask(() => this.isHeld || this.feed());
    return { kind: "watchStarted", requestId, revision };
  }
}
