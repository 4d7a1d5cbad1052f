/** Watches that join a source while events come: none is between a page and the source, and none comes twice. */
import { assertEquals } from "@std/assert";
import { ClientCore } from "../../../../lib/client/core.ts";
import { CloseSignal } from "../../../../lib/client/call_context.ts";
import { PROTOBUF } from "../../../../lib/etcd/rpc/grpc.ts";
import { WatchService } from "../../../../lib/etcd/watch/watch_service.ts";
import type { ServerMessage } from "../../../../lib/protocol/client_frames.ts";
import { FakeCluster } from "../../../support/fakes/scripted_node.ts";
import { WatchedLog } from "../../../support/fakes/watched_log.ts";
import { ALL, TestStream } from "./watch_scene.ts";

type Page = Extract<ServerMessage, { readonly kind: "eventsResult" }>["page"];

/** One node whose pages of events a test answers. */
class Scene implements AsyncDisposable {
  readonly cluster = new FakeCluster(1);
  readonly log = new WatchedLog(this.cluster);
  /** Answers to the pages that were requested, in order. */
  readonly #pages: ((page: Page) => void)[] = [];
  readonly #streams: { readonly stream: TestStream; readonly served: Promise<void> }[] = [];
  #core: ClientCore | null = null;
  #service: WatchService | null = null;

  static async open(): Promise<Scene> {
    const scene = new Scene();
    const { cluster } = scene;
    const node = cluster.node(1);
    const { serve } = node;
    node.serve = (request, send) => {
      if (request.kind !== "readEvents") return serve(request, send);
      const { requestId } = request;
      scene.#pages.push((page) => send({ kind: "eventsResult", requestId, page }));
      return "silence";
    };
    const { network, clock } = cluster;
    const connecting = ClientCore.connect({ cluster: [node.address] }, { network, clock, random: () => 0.5 });
    scene.#core = await cluster.finish(connecting);
    const view = { clusterId: 7n, memberId: 1n, raftTerm: 2, leader: 1n, revision: 1 };
    const closing = new CloseSignal();
    scene.#service = new WatchService({ view: () => view, closing, clock, random: () => 0.5 });
    return scene;
  }

  /** Begins a watch of everything on a stream of its own, from a revision as etcd's clients see it. */
  async watch(startRevision: number): Promise<TestStream> {
    const stream = new TestStream();
    const { signal } = stream;
    const call = {
      token: null,
      needsLeader: false,
      timeoutMs: 7_000,
      signal,
      noteWaiting: () => {},
      remote: "test",
      noteRefusal: () => {},
    };
    if (this.#core === null || this.#service === null) throw new Error("The scene is not open.");
    const served = this.#service.serve(stream, PROTOBUF, { ...call, core: this.#core });
    this.#streams.push({ stream, served });
    stream.create({ ...ALL, startRevision });
    await this.cluster.pass(0);
    return stream;
  }

  /** Answers a page that was requested, by default the first one, with the revisions from `first` to `revision`. */
  async answer(first: number, revision: number, { position = 0 } = {}): Promise<void> {
    const revisions = Array.from({ length: revision + 1 - first }, (_, at) => ({
      revision: first + at,
      events: [{ kind: "delete" as const, key: Uint8Array.of(107) }],
    }));
    this.#pages.splice(position, 1)[0]?.({ revisions, next: revision + 1, skip: 0, revision });
    await this.cluster.pass(0);
  }

  /** Writes a key. */
  async put(): Promise<void> {
    this.log.put("k");
    await this.cluster.pass(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stream, served } of this.#streams) {
      stream.reset();
      await this.cluster.finish(served);
    }
    if (this.#core !== null) await this.cluster.finish(this.#core.pool.close());
  }
}

/** The revisions of the events of a stream, as etcd's clients see them. */
function revisionsOf(stream: TestStream): readonly number[] {
  return stream.responses.flatMap(({ events }) => events.map(({ kv }) => kv?.modRevision ?? 0));
}

Deno.test("StreamWatch: an event that comes while a page is read is sent once, whether the page has it or not", async () => {
  await using scene = await Scene.open();
  await scene.put();
  const first = await scene.watch(0);
  await scene.answer(2, 1);
  const without = await scene.watch(2);
  const having = await scene.watch(2);
  await scene.put();
  await scene.answer(1, 1);
  await scene.answer(1, 2);
  await scene.put();
  assertEquals([first, without, having].map(revisionsOf), [[3, 4], [2, 3, 4], [2, 3, 4]]);
});

Deno.test("StreamWatch: a source that has begun while a page was read, and is beyond it, is joined after another page", async () => {
  await using scene = await Scene.open();
  await scene.put();
  const late = await scene.watch(2);
  const early = await scene.watch(3);
  await scene.answer(2, 1, { position: 1 });
  await scene.put();
  await scene.answer(1, 1);
  await scene.answer(2, 2);
  await scene.put();
  assertEquals([early, late].map(revisionsOf), [[3, 4], [2, 3, 4]]);
});
