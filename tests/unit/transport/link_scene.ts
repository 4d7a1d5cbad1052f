/** The links of node 2 over a network in memory, and the events that they report. */
import { FIRST_FEATURE_LEVEL } from "../../../lib/kv/feature_level.ts";
import { assertEquals } from "@std/assert";
import type { LaneChange, PeerRefusal } from "../../../lib/transport/peer.ts";
import { Peers } from "../../../lib/transport/peers.ts";
import { ManualClock, settle } from "../../support/fakes/manual_clock.ts";
import { MemoryNetwork } from "../../support/fakes/memory_network.ts";
import {
  CLUSTER_ID,
  MEMBERS,
  NetNode,
  type NetNodeOverrides,
  until,
} from "../../support/fakes/accepting_node.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";

/** The links of node 2, whose only other member is node 1. */
export class LinkScene {
  readonly clock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly logger = new RecordingLogger();
  readonly changes: LaneChange[] = [];
  readonly refusals: PeerRefusal[] = [];
  readonly unreachable: number[] = [];
  /** Nodes that have a connection to node 2. */
  readonly calling = new Set<number>();
  /** The cluster's, as node 2 has applied it. */
  featureLevel = FIRST_FEATURE_LEVEL;
  readonly links: Peers;

  constructor(options: { readonly clusterId?: string; readonly network?: MemoryNetwork } = {}) {
    this.network = options.network ?? new MemoryNetwork();
    this.links = new Peers({
      network: this.network,
      clock: this.clock,
      random: () => 1,
      logger: this.logger,
      self: 2,
      clusterId: options.clusterId ?? CLUSTER_ID,
      dataId: 102,
      isCalling: (id) => this.calling.has(id),
      callerAuthentications: () => [],
      featureLevel: () => this.featureLevel,
    });
    this.links.start({
      address: "n2:7002",
      members: MEMBERS.filter(({ id }) => id <= 2),
      onStateChange: (change) => void this.changes.push(change),
      onUnreachable: (id) => void this.unreachable.push(id),
      onRefused: (refusal) => void this.refusals.push(refusal),
    });
  }

  listen(self = 1, overrides: NetNodeOverrides = {}): NetNode {
    return new NetNode({ network: this.network, clock: this.clock, self, overrides });
  }

  async connected(id = 1): Promise<void> {
    await until(`both lanes to node ${id} are up`, () => this.links.isConnected(id));
  }

  /** Advances the clock by this duration, a second at a time. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 1_000) {
      this.clock.advance(Math.min(1_000, durationMs - passedMs));
      await settle();
    }
  }

  async close(...nodes: readonly NetNode[]): Promise<void> {
    await this.links.close();
    await Promise.all(nodes.map((node) => node.listener.close()));
    assertEquals(this.clock.timerCount, 0);
  }
}
