/** Answers requests for reports: this node's own, and those of all members, which it asks. */
import type { ConnectionListener } from "../../transport/listener.ts";
import type { Peers } from "../../transport/peers.ts";
import type { ServerConfig } from "../config/config.ts";
import { membersOf } from "../membership/members.ts";
import type { Node } from "../node.ts";
import type { ConnectionBudget } from "../startup/descriptors.ts";
import type { ServerTls } from "../startup/server_tls.ts";
import { NodeReporter, type ReportSources } from "./node_report.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import { assertNever } from "../../platform/assert.ts";
import type { DescribedNodes, MemberReport, NodeReport } from "../../protocol/diagnostics/report.ts";
import { MAX_CLOCK_OFFSET_MS } from "../../protocol/diagnostics/report_fields.ts";
import type { Member } from "../../protocol/messages.ts";
import type { DescribeMessage, PeerMessage } from "../../protocol/peer_frames.ts";
import type { NodeId } from "../../raft/mod.ts";

/** Time in which a member has to answer. */
const ANSWER_TIMEOUT_MS = 1_000;

/** The dependencies of the diagnostics. */
export interface DiagnosticsOptions {
  readonly self: NodeId;
  readonly clock: Clock;
  /** Returns milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Returns this node's report. */
  readonly report: () => NodeReport;
  /** Returns the members of the newest committed configuration. */
  readonly members: () => readonly Member[];
  /** Queues a message for a node; false when it was dropped. */
  readonly send: (message: PeerMessage, to: NodeId) => boolean;
}

/** A question to a member. */
interface Question {
  readonly member: Member;
  /** When it was sent, by both clocks. */
  readonly askedAtMs: number;
  readonly askedAtWallMs: number;
  readonly answer: (report: MemberReport) => void;
}

/** The diagnostics of one node. */
export class Diagnostics {
  readonly #options: DiagnosticsOptions;
  /** By the `askId` of each. */
  readonly #questions = new Map<number, Question>();
  /** The collection in progress: all requests share it, so that they do not multiply the questions. */
  #collecting: Promise<readonly MemberReport[]> | null = null;
  #timer: Timer | null = null;
  #lastAskId = 0;

  constructor(options: DiagnosticsOptions) {
    this.#options = options;
  }

  /** Returns the reports of the nodes, sorted by id. Never rejects: a member that does not answer is in them as such. */
  async describe(nodes: DescribedNodes): Promise<readonly MemberReport[]> {
    switch (nodes) {
      case "self":
        return [this.#own()];
      case "all":
        this.#collecting ??= this.#collect().finally(() => this.#collecting = null);
        return await this.#collecting;
      default:
        return assertNever(nodes);
    }
  }

  /** Takes a question or an answer of another node. Only members get answers. */
  receive(from: NodeId, message: DescribeMessage): void {
    const { members, send, report } = this.#options;
    const { askId } = message;
    if (message.kind === "describe") {
      if (members().some(({ id }) => id === from)) send({ kind: "described", askId, report: report() }, from);
      return;
    }
    const question = this.#questions.get(askId);
    if (question?.member.id !== from) return;
    this.#questions.delete(askId);
    question.answer(this.#reachable(question, message.report));
  }

  /** Ends the collection in progress. */
  close(): void {
    this.#giveUp("the node that was asked is stopping");
  }

  #own(): MemberReport {
    const { self, members, report } = this.#options;
    const address = members().find(({ id }) => id === self)?.address ?? "";
    return { kind: "reachable", id: self, address, roundTripMicros: 0, clockOffsetMs: 0, report: report() };
  }

  async #collect(): Promise<readonly MemberReport[]> {
    const { self, members, clock } = this.#options;
    const others = members().filter(({ id }) => id !== self);
    const answers = others.map((member) => this.#ask(member));
    this.#timer = clock.after(ANSWER_TIMEOUT_MS, () => {
      this.#giveUp(
        `it has not answered within ${ANSWER_TIMEOUT_MS} ms; an older version never answers this question`,
      );
    });
    const reports = [this.#own(), ...await Promise.all(answers)];
    this.#timer.cancel();
    return reports.sort((a, b) => a.id - b.id);
  }

  #ask(member: Member): Promise<MemberReport> {
    const { self, clock, wallClock, send } = this.#options;
    const { promise, resolve: answer } = Promise.withResolvers<MemberReport>();
    this.#lastAskId += 1;
    const askId = this.#lastAskId;
    this.#questions.set(askId, { member, askedAtMs: clock.now(), askedAtWallMs: wallClock(), answer });
    if (!send({ kind: "describe", askId }, member.id)) {
      this.#questions.delete(askId);
      answer(unreachable(member, `node ${self} has no connection to it`));
    }
    return promise;
  }

  #giveUp(reason: string): void {
    this.#timer?.cancel();
    for (const { member, answer } of this.#questions.values()) answer(unreachable(member, reason));
    this.#questions.clear();
  }

  #reachable({ member, askedAtMs, askedAtWallMs }: Question, report: NodeReport): MemberReport {
    const roundTripMs = this.#options.clock.now() - askedAtMs;
    const offsetMs = Math.round(report.wallClockMs - (askedAtWallMs + roundTripMs / 2));
    return {
      kind: "reachable",
      id: member.id,
      address: member.address,
      roundTripMicros: Math.round(roundTripMs * 1_000),
      clockOffsetMs: Math.max(-MAX_CLOCK_OFFSET_MS, Math.min(offsetMs, MAX_CLOCK_OFFSET_MS)),
      report,
    };
  }
}

/** The parts of a server that its diagnostics read. */
export interface DiagnosedServer
  extends
    Pick<ReportSources, "clock" | "wallClock" | "events" | "metrics" | "backup">,
    Partial<Pick<ReportSources, "runtime" | "freeDescriptors">> {
  readonly node: Pick<Node, "status" | "description" | "featureLevel" | "committedConfiguration">;
  readonly peers: Pick<Peers, "views" | "send">;
  readonly listener: Pick<ConnectionListener, "heardAtMs" | "clientCount">;
  readonly connections: ConnectionBudget;
  readonly tls?: Pick<ServerTls, "expiresAtMs"> | null;
}

/** Returns the diagnostics of a server. */
export function diagnosticsOf(config: ServerConfig, server: DiagnosedServer): Diagnostics {
  const { clock, wallClock, node, peers, listener, tls = null } = server;
  const reporter = new NodeReporter({
    ...server,
    config,
    runtime: server.runtime ?? null,
    budget: server.connections,
    freeDescriptors: server.freeDescriptors ?? null,
    certificateExpiresAtMs: () => tls?.expiresAtMs ?? null,
    status: () => node.status(),
    condition: () => node.description.condition(),
    featureLevel: () => node.featureLevel,
    links: () => peers.views(),
    heardAtMs: (id) => listener.heardAtMs(id),
    clientCount: () => listener.clientCount,
  });
  return new Diagnostics({
    self: config.nodeId,
    clock,
    wallClock,
    report: () => reporter.report(),
    members: () => membersOf(node.committedConfiguration),
    send: (message, to) => peers.send(message, to),
  });
}

function unreachable({ id, address }: Member, reason: string): MemberReport {
  return { kind: "unreachable", id, address, reason };
}
